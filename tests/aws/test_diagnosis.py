"""What the emulated account shows of jobs that do not start."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

from flowyml_aws.aws.batch import BatchBackend
from flowyml_aws.aws.batch_definition import JobImage
from flowyml_aws.aws.diagnosis import RunnableDiagnosis
from flowyml_aws.aws.runnable import CERTAIN_S, LIKELY_S
from flowyml_aws.connect import find_run
from flowyml_aws.planning.catalog_files import load_catalog
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.testing import Capacity, Emulator
from tests.support.places import Place, eventually
from tests.support.refusing import refusing

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("batch-diagnosis")]

G_QUOTA = "L-DB2E81BA"


class Clock:
    """Seconds since the epoch, some of them in the future."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    """An account whose jobs never find a machine."""
    with Emulator(capacity=Capacity(vcpus=0, memory_mib=0)) as aws:
        yield aws


@pytest.fixture
def repaired(aws: Emulator) -> Iterator[Emulator]:
    """The account, as it was at first when the test is over."""
    yield aws
    batch = aws.client("batch")
    for name in ("cpu", "gpu-t4"):
        aws.faults.invalidate(name, None)
        aws.faults.withhold(name, None)
        batch.update_job_queue(jobQueue=name, state="ENABLED")
        batch.update_compute_environment(
            computeEnvironment=name, state="ENABLED", computeResources={"maxvCpus": 4096}
        )
    aws.faults.set_quota(G_QUOTA, 4096)
    for job in batch.list_jobs(jobQueue="gpu-t4", jobStatus="RUNNABLE")["jobSummaryList"]:
        batch.cancel_job(jobId=job["jobId"], reason="the test is over")


@pytest.fixture
def queued(place: Place) -> RunDriver:
    """A run whose only job asks for a T4, and waits for a machine."""
    driver = find_run(place.pipeline("needy").submit("batch").id)
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


def found(driver: RunDriver, aws: Emulator, after_s: float) -> list[tuple[str, str]]:
    """What one look finds of the job when it has waited for so long."""
    clock = Clock()
    clock.ahead_s = after_s
    (told,) = backend_of(driver, aws.client, clock).diagnose().values()
    return [(one.code, one.level) for one in told]


def disable_queue(aws: Emulator) -> None:
    aws.client("batch").update_job_queue(jobQueue="gpu-t4", state="DISABLED")


def disable_environment(aws: Emulator) -> None:
    aws.client("batch").update_compute_environment(computeEnvironment="gpu-t4", state="DISABLED")


def break_environment(aws: Emulator) -> None:
    aws.faults.invalidate("gpu-t4", "CLIENT_ERROR - the subnet does not exist")


def lower_maximum(aws: Emulator) -> None:
    aws.client("batch").update_compute_environment(
        computeEnvironment="gpu-t4", computeResources={"maxvCpus": 2}
    )


def take_quota(aws: Emulator) -> None:
    aws.faults.set_quota(G_QUOTA, 0)


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (disable_queue, "queue-disabled"),
        (disable_environment, "environment-disabled"),
        (break_environment, "environment-invalid"),
        (lower_maximum, "max-vcpus-too-low"),
        (take_quota, "quota-too-low"),
    ],
)
def test_what_needs_somebody_is_found_after_a_minute(
    repaired: Emulator, queued: RunDriver, trouble: Callable[[Emulator], None], code: str
) -> None:
    trouble(repaired)
    assert found(queued, repaired, CERTAIN_S - 30) == []
    assert found(queued, repaired, CERTAIN_S) == [(code, "error")]


def test_what_may_pass_is_found_later(repaired: Emulator, queued: RunDriver) -> None:
    repaired.faults.withhold("gpu-t4")
    eventually(lambda: told_reason(repaired), "Batch's reason")
    assert found(queued, repaired, CERTAIN_S) == []
    assert found(queued, repaired, LIKELY_S) == [("no-capacity", "warning")]


def told_reason(aws: Emulator) -> bool:
    jobs = aws.client("batch").list_jobs(jobQueue="gpu-t4", jobStatus="RUNNABLE")
    return any("CAPACITY" in job.get("statusReason", "") for job in jobs["jobSummaryList"])


def test_the_position_in_the_queue_is_that_of_the_snapshot(
    repaired: Emulator, queued: RunDriver, place: Place
) -> None:
    behind = find_run(place.pipeline("needy").submit("batch").id)
    eventually(lambda: states(behind) == {JobState.QUEUED}, "the job queued")
    clock = Clock()
    clock.ahead_s = LIKELY_S
    (told,) = backend_of(behind, repaired.client, clock).diagnose().values()
    assert [one.what for one in told] == ["1 job is before it in queue 'gpu-t4'"]


def test_who_watches_is_told_after_two_looks_and_no_longer_once_it_is_mended(
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
    assert reason() is None, "it looks again only after a while"
    clock.ahead_s += 30
    assert "Compute environment 'gpu-t4' of queue 'gpu-t4' is DISABLED" in str(reason())
    assert "fix: aws batch update-compute-environment" in str(reason())
    repaired.client("batch").update_compute_environment(
        computeEnvironment="gpu-t4", state="ENABLED"
    )
    clock.ahead_s += 30
    assert reason() is None


def test_watching_goes_on_where_nothing_of_it_may_be_asked(
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

        (told,) = backend_of(queued, client, clock).diagnose().values()
    assert [one.code for one in told] == ["environment-disabled"]


def test_the_calls_are_few_and_only_read(repaired: Emulator, queued: RunDriver) -> None:
    clock = Clock()
    backend = backend_of(queued, repaired.client, clock)
    backend.statuses()
    repaired.calls.clear()
    backend.statuses()
    assert {call.operation for call in repaired.calls} == {"DescribeJobs"}, "the job is young"
    clock.ahead_s = LIKELY_S
    backend.statuses()
    assert {call.operation for call in repaired.calls} == {
        *("DescribeJobs", "DescribeJobQueues", "DescribeComputeEnvironments"),
        *("GetJobQueueSnapshot", "GetServiceQuota", "DescribeInstances"),
        "DescribeInstanceTypeOfferings",
    }
