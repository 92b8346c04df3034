"""Diagnosis of jobs that do not start, on an emulated account."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

from flowyml_aws.aws.batch.backend import BatchBackend
from flowyml_aws.aws.batch.definition import JobImage
from flowyml_aws.aws.batch.diagnosis import RunnableDiagnosis
from flowyml_aws.aws.batch.fronts import CHECK_INTERVAL_S
from flowyml_aws.aws.batch.runnable import CERTAIN_S, LIKELY_S
from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.services.connect import find_run
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.testing import Capacity, Emulator
from tests.support.queues import keep_first_environment
from tests.support.refusing import refusing
from tests.support.rigs import BackendRig, eventually, raised_emulator

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("batch-diagnosis")]

G_QUOTA = "L-DB2E81BA"


class Clock:
    """Seconds since the epoch, shifted into the future by `ahead_s`."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    """An account whose jobs never get a machine."""
    with raised_emulator(capacity=Capacity(vcpus=0, memory_mib=0), propagation_s=0) as aws:
        keep_first_environment(aws.client("batch"), "flowyml-emulator-t4")
        yield aws


@pytest.fixture
def repaired(aws: Emulator) -> Iterator[Emulator]:
    """The account; its original state is restored after the test."""
    yield aws
    batch = aws.client("batch")
    for name in ("flowyml-emulator-cpu", "flowyml-emulator-t4"):
        aws.faults.invalidate(name, None)
        aws.faults.withhold(name, None)
        batch.update_job_queue(jobQueue=name, state="ENABLED")
        batch.update_compute_environment(
            computeEnvironment=name, state="ENABLED", computeResources={"maxvCpus": 4096}
        )
    aws.set_vcpu_quota(G_QUOTA, 4096)
    for job in batch.list_jobs(jobQueue="flowyml-emulator-t4", jobStatus="RUNNABLE")[
        "jobSummaryList"
    ]:
        batch.cancel_job(jobId=job["jobId"], reason="the test is over")


@pytest.fixture
def queued(rig: BackendRig) -> RunDriver:
    """A run whose only job requests a T4, and waits for a machine."""
    driver = find_run(rig.pipeline("needy").submit(backend="batch").id)
    eventually(lambda: states(driver) == {JobState.QUEUED}, "the job queued")
    return driver


def states(driver: RunDriver) -> set[JobState]:
    return {view.state for view in driver.status().jobs}


def backend_of(driver: RunDriver, client: Callable[[str], Any], clock: Clock) -> BatchBackend:
    return BatchBackend(
        batch=client("batch"),
        logs=client("logs"),
        store=driver.store,
        record=driver.record,
        plan=driver.plan,
        image=JobImage("image", None, None, "/aws/batch/job"),
        poll_s=0.05,
        diagnosis=RunnableDiagnosis(client, load_catalog, clock),
        clock=clock,
    )


def diagnosed(driver: RunDriver, aws: Emulator, after_s: float) -> list[tuple[str, str]]:
    """Return the findings of one check of the job after it has waited for `after_s`."""
    clock = Clock()
    clock.ahead_s = after_s
    (findings,) = backend_of(driver, aws.client, clock).diagnose().values()
    return [(finding.code, finding.level) for finding in findings]


def disable_queue(aws: Emulator) -> None:
    aws.client("batch").update_job_queue(jobQueue="flowyml-emulator-t4", state="DISABLED")


def disable_environment(aws: Emulator) -> None:
    aws.client("batch").update_compute_environment(
        computeEnvironment="flowyml-emulator-t4", state="DISABLED"
    )


def break_environment(aws: Emulator) -> None:
    aws.faults.invalidate("flowyml-emulator-t4", "CLIENT_ERROR - the subnet does not exist")


def lower_maximum(aws: Emulator) -> None:
    aws.client("batch").update_compute_environment(
        computeEnvironment="flowyml-emulator-t4", computeResources={"maxvCpus": 2}
    )


def remove_quota(aws: Emulator) -> None:
    aws.set_vcpu_quota(G_QUOTA, 0)


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        (disable_queue, "queue-disabled"),
        (disable_environment, "environment-disabled"),
        (break_environment, "environment-invalid"),
        (lower_maximum, "max-vcpus-too-low"),
        (remove_quota, "quota-too-low"),
    ],
)
def test_permanent_problems_are_found_after_a_minute(
    repaired: Emulator, queued: RunDriver, cause: Callable[[Emulator], None], code: str
) -> None:
    cause(repaired)
    assert diagnosed(queued, repaired, CERTAIN_S - 30) == []
    assert diagnosed(queued, repaired, CERTAIN_S) == [(code, "error")]


def test_temporary_problems_are_found_later(repaired: Emulator, queued: RunDriver) -> None:
    repaired.faults.withhold("flowyml-emulator-t4")
    eventually(lambda: has_capacity_reason(repaired), "Batch's reason")
    assert diagnosed(queued, repaired, CERTAIN_S) == []
    assert diagnosed(queued, repaired, LIKELY_S) == [("no-capacity", "warning")]


def has_capacity_reason(aws: Emulator) -> bool:
    jobs = aws.client("batch").list_jobs(jobQueue="flowyml-emulator-t4", jobStatus="RUNNABLE")
    return any("CAPACITY" in job.get("statusReason", "") for job in jobs["jobSummaryList"])


def test_the_position_in_the_queue_is_that_of_the_snapshot(
    repaired: Emulator, queued: RunDriver, rig: BackendRig
) -> None:
    second = find_run(rig.pipeline("needy").submit(backend="batch").id)
    eventually(lambda: states(second) == {JobState.QUEUED}, "the job queued")
    clock = Clock()
    clock.ahead_s = LIKELY_S
    (findings,) = backend_of(second, repaired.client, clock).diagnose().values()
    assert [finding.what for finding in findings] == [
        "1 job is ahead of it in queue 'flowyml-emulator-t4'"
    ]


def test_a_problem_is_reported_from_the_second_check_until_it_is_fixed(
    repaired: Emulator, queued: RunDriver
) -> None:
    clock = Clock()
    clock.ahead_s = CERTAIN_S
    backend = backend_of(queued, repaired.client, clock)
    disable_environment(repaired)

    def reason() -> str | None:
        (status,) = backend.statuses().values()
        assert status.state is JobState.QUEUED
        return status.reason

    assert reason() is None
    clock.ahead_s += 10
    assert reason() is None, "the next check comes only after the interval"
    clock.ahead_s += 30
    assert (
        "Compute environment 'flowyml-emulator-t4' of queue 'flowyml-emulator-t4' is DISABLED"
        in str(reason())
    )
    assert "fix: aws batch update-compute-environment" in str(reason())
    repaired.client("batch").update_compute_environment(
        computeEnvironment="flowyml-emulator-t4", state="ENABLED"
    )
    clock.ahead_s += 30
    assert reason() is None


def test_the_diagnosis_uses_what_is_known_if_other_calls_are_denied(
    repaired: Emulator, queued: RunDriver
) -> None:
    clock = Clock()
    clock.ahead_s = LIKELY_S
    disable_environment(repaired)
    with refusing(403, "AccessDenied", "no") as endpoint:

        def client(service: str) -> Any:
            if service in ("batch", "logs"):
                return repaired.client(service)
            session: Any = boto3.Session(region_name="us-east-1")
            return session.client(service, endpoint_url=endpoint)

        (findings,) = backend_of(queued, client, clock).diagnose().values()
    assert [finding.code for finding in findings] == ["environment-disabled"]


def test_the_calls_are_few_and_read_only(repaired: Emulator, queued: RunDriver) -> None:
    clock = Clock()
    backend = backend_of(queued, repaired.client, clock)
    backend.statuses()
    repaired.calls.clear()
    backend.statuses()
    assert {call.operation for call in repaired.calls} == {"DescribeJobs"}, "the job is too young"
    clock.ahead_s = LIKELY_S
    backend.statuses()
    assert {call.operation for call in repaired.calls} == {
        *("DescribeJobs", "DescribeJobQueues", "DescribeComputeEnvironments"),
        *("GetJobQueueSnapshot", "GetServiceQuota", "DescribeInstances"),
        "DescribeInstanceTypeOfferings",
    }


def test_jobs_after_one_of_another_run_without_capacity_lack_it_too(
    repaired: Emulator, rig: BackendRig, queued: RunDriver
) -> None:
    repaired.faults.withhold("flowyml-emulator-t4")  # the job of the first run is in front
    behind = find_run(rig.pipeline("needy").submit(backend="batch").id)
    eventually(lambda: states(behind) == {JobState.QUEUED}, "the job queued")
    (job,) = behind.plan.jobs
    movable = job.model_copy(update={"moves": {Cause.CAPACITY: 0}})
    behind.plan = behind.plan.model_copy(update={"jobs": (movable,)})
    clock = Clock()
    backend = backend_of(behind, repaired.client, clock)
    assert not backend.statuses()[job.name].lacks_capacity
    clock.ahead_s = CHECK_INTERVAL_S
    assert backend.statuses()[job.name].lacks_capacity
