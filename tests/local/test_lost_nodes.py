from __future__ import annotations

from pathlib import Path

import pytest

from flowyml_aws import step
from flowyml_aws.local.backend import LocalBackend, Machine
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.submission.backend import JobState, JobStatus
from tests.runtime.harness import WrittenRun


@step(outputs=["model"])
def train() -> int:
    return 1


def status_after(folder: Path, attempt: int) -> JobStatus:
    """Return the status of a job whose attempt of this number has lost a node."""
    run = WrittenRun(folder, train)
    run.store.put(run.layout.attempt("train", attempt, "exit.json"), b'{"code": 145}')
    backend = LocalBackend(run.store, run.record, run.plan, Machine(1, 1024), {})
    return backend.statuses()["train"]


@pytest.mark.parametrize("attempt", [1, 4])
def test_a_job_that_has_lost_a_node_is_started_again(tmp_path: Path, attempt: int) -> None:
    status = status_after(tmp_path, attempt)
    assert (status.state, len(status.lost)) == (JobState.LOST, attempt)


def test_a_job_that_loses_a_node_each_time_fails_after_five_attempts(tmp_path: Path) -> None:
    status = status_after(tmp_path, 5)
    assert (status.state, status.cause) == (JobState.FAILED, Cause.CAPACITY)
    assert status.reason == "one of its nodes ended or did not start, in each of 5 attempts"
