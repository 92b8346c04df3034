"""Copies of arrays: which one is kept, and which of their children run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.aws.batch.batch_job import BatchJob, JobPlace
from flowyml_aws.aws.batch.copies import JobCopies
from flowyml_aws.aws.batch.jobs import ListedJob
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.planning.needs import Needs
from flowyml_aws.runtime.claim import JobClaim, claim_holder, claim_job

RUN = "r-20261122-150531-3f9a1c"
ARRAY = BatchJob(
    name="array",
    planned="train",
    is_join=False,
    queue="cpu",
    after=(),
    command=(),
    needs=Needs(vcpus=1, memory_mib=512),
    timeout_s=None,
    children=("train-0", "train-1", "train-2"),
)
FIRST, SECOND = ListedJob("first", "PENDING", 1), ListedJob("second", "PENDING", 2)


class Batch:
    """A client that records what is terminated."""

    def __init__(self) -> None:
        self.terminated: list[str] = []

    def terminate_job(self, jobId: str, reason: str) -> None:
        self.terminated.append(jobId)


@pytest.fixture
def batch() -> Batch:
    return Batch()


@pytest.fixture
def store(tmp_path: Path) -> DirectoryArtifactStore:
    return DirectoryArtifactStore(tmp_path / "store")


@pytest.fixture
def copies(batch: Any, store: DirectoryArtifactStore) -> JobCopies:
    return JobCopies(batch, store, RUN, [ARRAY])


def claim(store: DirectoryArtifactStore, job: str, copy: str) -> None:
    claim_job(store, RUN, job, 1, JobClaim(copy_id=copy, claimed_at=0.0))


def holders(store: DirectoryArtifactStore) -> list[str | None]:
    return [claim_holder(store, RUN, job, 1) for job in ARRAY.children]


def test_all_children_of_the_older_copy_claim_and_the_other_copy_is_terminated(
    batch: Batch, store: DirectoryArtifactStore, copies: JobCopies
) -> None:
    assert copies.keep(ARRAY, [SECOND, FIRST]) == {"array": "first"}
    assert holders(store) == ["first:0", "first:1", "first:2"]
    assert batch.terminated == ["second"]


def test_a_child_of_the_other_copy_that_holds_its_claim_continues(
    batch: Batch, store: DirectoryArtifactStore, copies: JobCopies
) -> None:
    claim(store, "train-1", "second:1")
    ids = copies.keep(ARRAY, [FIRST, SECOND])
    assert [JobPlace(ARRAY, index).job_id(ids) for index in range(3)] == [
        *("first:0", "second:1", "first:2")
    ]
    assert holders(store) == ["first:0", "second:1", "first:2"]
    assert batch.terminated == []  # its other children end when they start


def test_a_copy_none_of_whose_children_holds_a_claim_is_terminated(
    batch: Batch, store: DirectoryArtifactStore, copies: JobCopies
) -> None:
    for index, job in enumerate(ARRAY.children):
        claim(store, job, f"second:{index}")
    assert copies.keep(ARRAY, [FIRST, SECOND]) == {"array": "second"}
    assert batch.terminated == ["first"]


def test_no_copy_of_a_cancelled_run_is_left(
    batch: Batch, store: DirectoryArtifactStore, copies: JobCopies
) -> None:
    copies.claim_all([ARRAY])
    copies.keep(ARRAY, [FIRST, SECOND])
    assert sorted(batch.terminated) == ["first", "second"]


def test_a_cancelled_run_claims_each_child(
    store: DirectoryArtifactStore, copies: JobCopies
) -> None:
    copies.claim_all([ARRAY])
    assert set(holders(store)) == {"the cancelled run"}
