"""The right to submit a run's jobs, with a store in a directory and clocks of the test."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.aws.batch.copies import preferred_copy
from flowyml_aws.aws.batch.jobs import ListedJob
from flowyml_aws.aws.batch.submission import LeaseLostError, Submissions
from flowyml_aws.local.directory import DirectoryArtifactStore

RUN = "run-20260101-000000-abcdef"


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> DirectoryArtifactStore:
    return DirectoryArtifactStore(tmp_path / "store")


def client(store: DirectoryArtifactStore, clock: Clock | None = None) -> Submissions:
    submissions = Submissions(store, RUN, names=("a", "b"), clock=clock or Clock())
    submissions.load()
    return submissions


def date_back(store: DirectoryArtifactStore, number: int, seconds: float) -> None:
    when = time.time() - seconds
    os.utime(store.path(RunLayout(RUN).submission(number)), (when, when))


def test_one_of_two_clients_gets_the_lease(store: DirectoryArtifactStore) -> None:
    first, second = client(store), client(store)
    assert first.take() is not None
    assert second.take() is None


def test_a_client_that_has_just_written_holds_the_lease_whatever_the_clocks_say(
    store: DirectoryArtifactStore,
) -> None:
    client(store, Clock(0)).take()
    assert client(store, Clock(120)).is_held()
    date_back(store, 1, 64)
    assert not client(store, Clock(0)).is_held()


def test_a_client_that_was_suspended_does_not_submit_when_it_wakes(
    store: DirectoryArtifactStore,
) -> None:
    clock = Clock()
    lease = client(store, clock).take()
    assert lease is not None
    lease.prove()
    date_back(store, 1, 64)
    assert client(store).take() is not None
    clock.now += 64
    for _ in range(2):
        with pytest.raises(LeaseLostError):
            lease.prove()


def test_a_client_that_is_slow_keeps_its_lease(store: DirectoryArtifactStore) -> None:
    clock = Clock()
    lease = client(store, clock).take()
    assert lease is not None
    date_back(store, 1, 59)
    clock.now += 59
    lease.prove()
    assert client(store).is_held() and client(store).age_s() < 59


def test_a_lease_is_proved_at_most_every_few_seconds(store: DirectoryArtifactStore) -> None:
    lease = client(store).take()
    assert lease is not None
    store.delete([RunLayout(RUN).submission(1)])
    lease.prove()  # does not read the store


def test_a_cancelled_run_takes_the_lease_for_good(store: DirectoryArtifactStore) -> None:
    clock = Clock()
    lease = client(store, clock).take()
    for _ in range(2):
        client(store).close()
    clock.now += 11
    assert lease is not None
    with pytest.raises(LeaseLostError):
        lease.prove()
    latest = client(store).latest
    assert latest is not None and latest.state == "cancelled"
    assert store.children(RunLayout(RUN).submissions) == ["1.json", "2.json"]


@pytest.mark.parametrize(("age_s", "expected"), [(0, False), (15, False), (21, True)])
def test_a_listing_shows_all_jobs_some_time_after_a_client_has_stopped(
    store: DirectoryArtifactStore, age_s: float, expected: bool
) -> None:
    client(store).take()
    date_back(store, 1, age_s)
    assert client(store).all_are_listed() is expected


@pytest.mark.parametrize(("waited_s", "expected"), [(0, False), (9, False), (11, True)])
def test_a_listing_shows_the_last_jobs_of_a_client_some_time_after_it_lost_its_lease(
    store: DirectoryArtifactStore, waited_s: float, expected: bool
) -> None:
    clock = Clock()
    submissions = client(store, clock)
    submissions.take()
    client(store).close()
    date_back(store, 2, 64)
    submissions.forget()
    submissions.load()
    clock.now += waited_s
    assert submissions.all_are_listed() is expected


def test_the_copy_that_is_furthest_is_kept_or_the_oldest() -> None:
    old, new = ListedJob("b", "RUNNABLE", 1), ListedJob("a", "RUNNABLE", 2)
    assert preferred_copy([new, old]) is old
    running = ListedJob("c", "RUNNING", 3)
    assert preferred_copy([new, old, running]) is running
    assert preferred_copy([ListedJob("d", "FAILED", 0), new]) is new
