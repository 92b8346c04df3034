"""Queues whose first job waits for capacity, with a client that returns scripted answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from flowyml_aws.aws.batch.fronts import CHECK_INTERVAL_S, QueueFronts

REASON = "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - Service cannot fulfill the capacity"


@dataclass
class ScriptedBatch:
    """A Batch client that knows the status reason of the first job of each queue."""

    reasons: dict[str, str] = field(default_factory=dict)
    snapshots: list[str] = field(default_factory=list)
    is_denied: bool = False

    def get_job_queue_snapshot(self, *, jobQueue: str) -> dict[str, Any]:
        if self.is_denied:
            error: Any = {"Error": {"Code": "AccessDeniedException", "Message": "no"}}
            raise ClientError(error, "GetJobQueueSnapshot")
        self.snapshots.append(jobQueue)
        ids = (jobQueue, "second") if jobQueue in self.reasons else ()
        jobs = [{"jobArn": f"arn:aws:batch:us-east-1:1:job/{job_id}"} for job_id in ids]
        return {"frontOfQueue": {"jobs": jobs}}

    def describe_jobs(self, *, jobs: list[str]) -> dict[str, Any]:
        (job_id,) = jobs
        job = {"jobId": job_id, "status": "RUNNABLE", "statusReason": self.reasons[job_id]}
        return {"jobs": [job]}


class Stage:
    def __init__(self) -> None:
        self.now = 1000.0
        self.batch = ScriptedBatch()
        self.fronts = QueueFronts(cast("Any", self.batch), lambda: self.now)

    def after(self, seconds: float, *queues: str) -> set[str]:
        self.now += seconds
        return set(self.fronts.without_capacity(queues))


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_queue_whose_first_job_waits_for_capacity_has_none(stage: Stage) -> None:
    stage.batch.reasons = {"spot": REASON, "cpu": "", "gpu": "MISCONFIGURATION:JOB_RESOURCE"}
    queues = ("spot", "cpu", "gpu", "empty")
    stage.after(0, *queues)
    assert stage.after(CHECK_INTERVAL_S, *queues) == {"spot"}


def test_a_queue_is_checked_once_in_an_interval_and_never_for_a_short_wait(stage: Stage) -> None:
    stage.batch.reasons = {"spot": REASON}
    assert stage.after(0, "spot") == stage.after(CHECK_INTERVAL_S - 1, "spot") == set()
    assert stage.after(1, "spot") == stage.after(CHECK_INTERVAL_S - 1, "spot") == {"spot"}
    assert stage.batch.snapshots == ["spot"]
    stage.batch.reasons = {"spot": ""}
    assert stage.after(1, "spot") == set()


def test_a_queue_in_which_no_job_waits_any_more_is_forgotten(stage: Stage) -> None:
    stage.batch.reasons = {"spot": REASON}
    stage.after(0, "spot")
    assert stage.after(CHECK_INTERVAL_S, "spot") == {"spot"}
    assert stage.after(1) == set()
    assert stage.after(CHECK_INTERVAL_S, "spot") == set()


def test_a_client_that_may_not_see_a_queue_finds_nothing(stage: Stage) -> None:
    stage.batch.is_denied = True
    stage.after(0, "spot")
    assert stage.after(CHECK_INTERVAL_S, "spot") == set()


def test_the_last_answer_counts_until_the_next_one(stage: Stage) -> None:
    stage.batch.reasons = {"spot": REASON}
    stage.after(0, "spot")
    stage.after(CHECK_INTERVAL_S, "spot")
    stage.batch.is_denied = True
    assert stage.after(CHECK_INTERVAL_S, "spot") == {"spot"}
