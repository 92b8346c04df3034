"""Lost answers and takeovers: each job is submitted once, and cancel leaves nothing.

The account has no machines, so the jobs can be counted. Clients wait on clocks of the test.
"""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from boto3 import Session

from flowyml_aws.aws.batch.batch_job import BatchJob
from flowyml_aws.aws.batch.requests import batch_jobs
from flowyml_aws.core.errors import AwsRefusedError
from flowyml_aws.planning.plan import PlannedJob
from flowyml_aws.runtime.claim import claim_holder
from flowyml_aws.runtime.result import JobResult, StepReport, StepState
from flowyml_aws.services.connect import find_run
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.record import RunState
from flowyml_aws.testing import Capacity, Emulator
from tests.aws.batch.test_submission import backend_of
from tests.support.rigs import BackendRig, raised_emulator

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("takeover")]

JOBS = 40
CALLS_AT_ONCE = 8


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with raised_emulator(capacity=Capacity(vcpus=0, memory_mib=0)) as aws:
        yield aws


@pytest.fixture(scope="module")
def plans(
    aws: Emulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, RunDriver]]:
    """Submitted runs of 40 independent jobs and of three in a row."""
    rig = BackendRig("batch", tmp_path_factory.mktemp("shared") / "project", aws.environment)
    with rig.entered():
        yield {
            name: find_run(rig.pipeline(name).submit(backend="batch").id)
            for name in ("wide:forty_apart", "waiting")
        }


@pytest.fixture
def wide(plans: Mapping[str, RunDriver]) -> RunDriver:
    """A run of 40 independent jobs that no client has submitted."""
    return not_yet_submitted(plans["wide:forty_apart"])


@pytest.fixture
def chain(plans: Mapping[str, RunDriver]) -> RunDriver:
    """A run of three jobs in a row that no client has submitted."""
    return not_yet_submitted(plans["waiting"])


def not_yet_submitted(driver: RunDriver) -> RunDriver:
    record = driver.record.model_copy(update={"run_id": f"new-{uuid.uuid4().hex}"})
    return RunDriver(driver.store, record, driver.plan, driver.backend)


@dataclass
class Clock:
    """The time of one client, which passes only while it waits; so does the time of the store."""

    aws: Emulator
    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, _seconds: float) -> None:
        self.pass_by(4.0)

    def pass_by(self, seconds: float) -> None:
        self.now += seconds
        self.aws.faults.clock_skew_s += seconds
        self.aws.advance(seconds)


def client_of(driver: RunDriver, batch: Any, clock: Clock) -> RunDriver:
    """Return another client of a run."""
    backend = backend_of(driver, batch, clock=clock, sleep=clock.sleep)
    return RunDriver(driver.store, driver.record, driver.plan, backend)


def new_batch(aws: Emulator) -> Any:
    session = Session(
        aws_access_key_id=aws.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=aws.environment["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=aws.environment["AWS_SESSION_TOKEN"],
    )
    return session.client("batch", region_name="us-east-1", endpoint_url=aws.endpoint_url)


@dataclass
class Suspension:
    """Suspends a client in the middle of its calls of SubmitJob, and runs something meanwhile."""

    at_call: int
    meanwhile: Callable[[], object]
    calls: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, **_: Any) -> None:
        with self.lock:  # all calls of the client wait
            self.calls += 1
            if self.calls == self.at_call:
                self.meanwhile()


def suspended(aws: Emulator, suspension: Suspension) -> Any:
    """Return a Batch client that is suspended once."""
    batch = new_batch(aws)
    batch.meta.events.register("before-send.batch.SubmitJob", suspension)
    return batch


def copies(aws: Emulator, driver: RunDriver) -> Counter[str]:
    """Return the number of Batch jobs by job name."""
    return Counter(job["jobName"] for job in listed(aws, driver))


def listed(aws: Emulator, driver: RunDriver) -> list[dict[str, Any]]:
    aws.advance(5)  # listings are up to date
    names = [{"name": "JOB_NAME", "values": [f"{driver.record.run_id}-*"]}]
    pages = aws.client("batch").get_paginator("list_jobs")
    pages = pages.paginate(jobQueue="flowyml-emulator-cpu", filters=names)
    return [job for page in pages for job in page["jobSummaryList"]]


def left(aws: Emulator, driver: RunDriver) -> list[str]:
    """Return the names of the jobs that have not ended."""
    return [job["jobName"] for job in listed(aws, driver) if job["status"] != "FAILED"]


def submissions(aws: Emulator) -> int:
    return sum(call.operation == "SubmitJob" for call in aws.calls)


def batch_jobs_of(driver: RunDriver) -> Sequence[BatchJob]:
    return batch_jobs(driver.plan, driver.record, driver.store.uri, "us-east-1")


def holder(driver: RunDriver, job: str) -> str | None:
    return claim_holder(driver.store, driver.record.run_id, job, 1)


@pytest.mark.parametrize("times", [1, 2])
def test_a_job_whose_submission_was_not_answered_is_found_by_its_name(
    aws: Emulator, rig: BackendRig, times: int
) -> None:
    pipeline = rig.pipeline("waiting")
    aws.calls.clear()
    aws.faults.lose_answers("SubmitJob", times)
    run = pipeline.submit(backend="batch")
    assert submissions(aws) == 3
    assert set(copies(aws, find_run(run.id)).values()) == {1}


@pytest.mark.parametrize("times", [1, 2])
def test_a_submission_that_did_not_arrive_is_repeated_once_a_listing_would_show_the_job(
    aws: Emulator, chain: RunDriver, times: int
) -> None:
    clock = Clock(aws)
    aws.faults.lose_answers("SubmitJob", times, when="before")
    client_of(chain, new_batch(aws), clock).advance()
    assert 10 * times <= clock.now < 20 * times
    assert sorted(copies(aws, chain).values()) == [1, 1, 1]


def test_a_job_that_a_listing_shows_too_late_gets_a_second_copy_with_the_claim(
    aws: Emulator, chain: RunDriver
) -> None:
    batch, clock = new_batch(aws), Clock(aws)
    empty = {"jobSummaryList": [], "ResponseMetadata": {"HTTPStatusCode": 200}}
    batch.meta.events.register("before-call.batch.ListJobs", lambda **_: (Answered(), empty))
    aws.faults.lose_answers("SubmitJob")
    client = client_of(chain, batch, clock)
    client.advance()
    first = [job for job in listed(aws, chain) if job["jobName"].endswith("-first")]
    (second,) = [job for job in listed(aws, chain) if job["jobName"].endswith("-second")]
    assert len(first) == 2
    claimed = holder(chain, "first")
    assert claimed == max(first, key=lambda job: job["createdAt"])["jobId"]
    (detail,) = aws.client("batch").describe_jobs(jobs=[second["jobId"]])["jobs"]
    assert detail["dependsOn"] == [{"jobId": claimed}]  # so it waits for the copy that runs
    # The next client ends the other copy.
    client_of(chain, new_batch(aws), clock).cancel()
    assert left(aws, chain) == []


def test_a_client_that_batch_never_answers_leaves_its_jobs_to_the_next_one(
    aws: Emulator, chain: RunDriver
) -> None:
    clock = Clock(aws)
    aws.faults.lose_answers("SubmitJob", 5, when="before")
    with pytest.raises(AwsRefusedError, match="submit job 'first'"):
        client_of(chain, new_batch(aws), clock).advance()
    other = client_of(chain, new_batch(aws), clock)
    other.advance()
    assert copies(aws, chain) == {}  # the first client may still be submitting
    clock.pass_by(64)
    other.advance()
    assert sorted(copies(aws, chain).values()) == [1, 1, 1]


def test_a_client_that_was_suspended_stops_when_it_wakes(aws: Emulator, wide: RunDriver) -> None:
    clock, its_clock = Clock(aws), Clock(aws)
    other = client_of(wide, new_batch(aws), clock)

    def take_over() -> None:
        clock.pass_by(64)
        other.advance()
        its_clock.now += clock.now

    first = client_of(wide, suspended(aws, Suspension(20, take_over)), its_clock)
    first.advance()
    names = copies(aws, wide)
    assert len(names) == JOBS
    # Only the calls that were on their way reach Batch.
    assert JOBS < sum(names.values()) <= JOBS + CALLS_AT_ONCE
    ids = {job["jobId"] for job in listed(aws, wide)}
    twice = [job.planned for job in batch_jobs_of(wide) if names[job.name] > 1]
    assert {holder(wide, job) for job in twice} <= ids  # the other copies end when they start
    assert first.status().state is RunState.RUNNING
    client_of(wide, new_batch(aws), clock).cancel()
    assert left(aws, wide) == []


def test_a_client_whose_clock_is_ahead_takes_nothing_over(aws: Emulator, wide: RunDriver) -> None:
    ahead = client_of(wide, new_batch(aws), Clock(aws, now=120))
    first = client_of(wide, suspended(aws, Suspension(20, ahead.advance)), Clock(aws))
    first.advance()
    names = copies(aws, wide)
    assert (len(names), sum(names.values())) == (JOBS, JOBS)
    first.cancel()


def test_cancel_stops_a_client_that_is_submitting_and_leaves_no_job(
    aws: Emulator, wide: RunDriver
) -> None:
    clock, its_clock = Clock(aws), Clock(aws)
    other = client_of(wide, new_batch(aws), clock)

    def cancel() -> None:
        other.cancel()
        its_clock.now += clock.now

    first = client_of(wide, suspended(aws, Suspension(20, cancel)), its_clock)
    assert first.advance().state is RunState.RUNNING  # it has polled before it submitted
    assert 20 <= sum(copies(aws, wide).values()) < 20 + CALLS_AT_ONCE
    assert left(aws, wide) == []
    assert client_of(wide, new_batch(aws), clock).advance().state is RunState.CANCELLED


def test_a_job_that_reaches_batch_after_a_cancel_does_not_run(
    aws: Emulator, chain: RunDriver
) -> None:
    clock = Clock(aws)
    other = client_of(chain, new_batch(aws), clock)

    def die() -> None:
        other.cancel()
        raise SystemExit

    with pytest.raises(SystemExit):
        client_of(chain, suspended(aws, Suspension(1, die)), Clock(aws)).advance()
    claims = {job.planned: holder(chain, job.planned) for job in batch_jobs_of(chain)}
    assert set(claims.values()) == {"the cancelled run"}


def test_cancel_ends_second_copies_and_lists_what_it_could_not_end(
    aws: Emulator, chain: RunDriver
) -> None:
    clock = Clock(aws)
    client = client_of(chain, new_batch(aws), clock)
    client.advance()
    duplicate(aws, chain, "second")
    refusing = new_batch(aws)
    denied = {
        "Error": {"Code": "AccessDeniedException", "Message": "not allowed"},
        "ResponseMetadata": {"HTTPStatusCode": 403},
    }
    event = "before-call.batch.TerminateJob"
    refusing.meta.events.register(event, lambda **_: (Answered(403), denied))
    with pytest.raises(AwsRefusedError, match=f"4 jobs of run {chain.record.run_id}") as caught:
        client_of(chain, refusing, clock).cancel()
    assert "not allowed" in caught.value.why
    assert client.cancel() == []
    assert (sum(copies(aws, chain).values()), left(aws, chain)) == (4, [])


def test_a_run_that_ends_leaves_no_copy_that_could_start(aws: Emulator, chain: RunDriver) -> None:
    """A job with a result ends by itself, except if it has lost its host after it had committed."""
    clock = Clock(aws)
    client_of(chain, new_batch(aws), clock).advance()
    duplicate(aws, chain, "second")
    write_results(chain)
    assert len(left(aws, chain)) == 4
    assert client_of(chain, new_batch(aws), clock).advance().state is RunState.SUCCEEDED
    assert left(aws, chain) == []


def test_the_status_of_a_run_that_has_ended_ends_no_job(aws: Emulator, chain: RunDriver) -> None:
    clock = Clock(aws)
    client_of(chain, new_batch(aws), clock).advance()
    duplicate(aws, chain, "second")
    write_results(chain)
    assert client_of(chain, new_batch(aws), clock).status().state is RunState.SUCCEEDED
    assert len(left(aws, chain)) == 4


@dataclass
class Answered:
    """An HTTP response whose body was parsed."""

    status_code: int = 200


def duplicate(aws: Emulator, driver: RunDriver, job: str) -> None:
    """Submit a second copy of a job, as a client does whose answer was lost."""
    name = f"{driver.record.run_id}-{job}"
    (first,) = [each for each in listed(aws, driver) if each["jobName"] == name]
    (detail,) = aws.client("batch").describe_jobs(jobs=[first["jobId"]])["jobs"]
    aws.client("batch").submit_job(
        jobName=name,
        jobQueue=detail["jobQueue"],
        jobDefinition=detail["jobDefinition"],
        dependsOn=detail["dependsOn"],
        tags=detail["tags"],
    )


def write_results(driver: RunDriver, jobs: Sequence[PlannedJob] | None = None) -> None:
    for job in driver.plan.jobs if jobs is None else jobs:
        result = JobResult(
            run_id=driver.record.run_id,
            job=job.name,
            attempt=1,
            state="succeeded",
            started_at=1.0,
            ended_at=2.0,
            steps=tuple(StepReport(name=name, state=StepState.SUCCEEDED) for name in job.steps),
            assets={},
            skipped={},
        )
        driver.store.put(driver.layout.result(job.name), result.to_json())
