"""Submission to an account without machines: nothing runs, so the calls can be counted."""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from boto3 import Session
from botocore.stub import Stubber

from flowyml_aws import Run
from flowyml_aws.aws.batch import submission as batch_submission
from flowyml_aws.aws.batch.backend import BatchBackend
from flowyml_aws.aws.batch.definition import JobImage
from flowyml_aws.aws.batch.diagnosis import RunnableDiagnosis
from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.core.errors import AwsRefusedError, SettingsError
from flowyml_aws.runtime.claim import JobClaim, claim_job
from flowyml_aws.runtime.exit_codes import SECOND_COPY
from flowyml_aws.services.connect import find_run
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.record import RunState
from flowyml_aws.testing import Capacity, Emulator
from tests.support.refusing import throttling
from tests.support.rigs import BackendRig, eventually, raised_emulator
from tests.support.stores import date_back

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("batch-submission")]

A_WEEK_S = 7 * 24 * 3600


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with raised_emulator(capacity=Capacity(vcpus=0, memory_mib=0)) as aws:
        yield aws


@pytest.fixture
def run(rig: BackendRig) -> Run:
    """A submitted run of three jobs in a row."""
    return rig.pipeline("waiting").submit(backend="batch")


@pytest.fixture(scope="module")
def submitted(aws: Emulator, tmp_path_factory: pytest.TempPathFactory) -> tuple[BackendRig, str]:
    rig = BackendRig("batch", tmp_path_factory.mktemp("shared") / "project", aws.environment)
    with rig.entered():
        return rig, rig.pipeline("waiting").submit(backend="batch").id


@pytest.fixture
def untouched(submitted: tuple[BackendRig, str]) -> Iterator[RunDriver]:
    """A shared run of three jobs in a row, for tests that do not change it."""
    rig, run_id = submitted
    with rig.entered():
        yield find_run(run_id)


def jobs_of(aws: Emulator, run_id: str) -> dict[str, dict[str, Any]]:
    """Return the Batch jobs of a run, by name without the run id."""
    aws.advance(5)  # listings are up to date
    jobs = {}
    for queue in ("flowyml-emulator-cpu", "flowyml-emulator-t4"):
        names = [{"name": "JOB_NAME", "values": [f"{run_id}-*"]}]
        pages = aws.client("batch").get_paginator("list_jobs")
        for page in pages.paginate(jobQueue=queue, filters=names):
            for job in page["jobSummaryList"]:
                name = job["jobName"].removeprefix(f"{run_id}-")
                assert name not in jobs, f"{name} was submitted twice"
                jobs[name] = job
    return jobs


def described(aws: Emulator, run_id: str) -> dict[str, dict[str, Any]]:
    ids = [job["jobId"] for job in jobs_of(aws, run_id).values()]
    jobs = aws.client("batch").describe_jobs(jobs=ids)["jobs"]
    return {job["jobName"].removeprefix(f"{run_id}-"): job for job in jobs}


def submissions(aws: Emulator) -> int:
    return Counter(call.operation for call in aws.calls)["SubmitJob"]


def rewrite_submission(driver: RunDriver, **changes: Any) -> None:
    """Change the submission record as if the client had died at another moment.

    `age_s` is the age of the record in seconds.
    """
    key = driver.layout.submission(1)
    age_s = changes.pop("age_s", 0.0)
    submission = json.loads(driver.store.get(key))
    driver.store.put(key, json.dumps({**submission, **changes}).encode())
    date_back(driver.store, key, age_s)


def backend_of(driver: RunDriver, batch: Any, image: str = "image", **options: Any) -> BatchBackend:
    """Return a backend of a run that uses another Batch client."""
    return BatchBackend(
        batch=batch,
        logs=None,  # type: ignore[arg-type]  # these tests read no logs
        store=driver.store,
        record=driver.record,
        plan=driver.plan,
        image=JobImage(image, None, None, "/aws/batch/job"),
        poll_s=0.05,
        diagnosis=RunnableDiagnosis(lambda _: batch, load_catalog, time.time),
        **options,
    )


def not_yet_submitted(driver: RunDriver) -> RunDriver:
    """Return a run with the same plan and no submitted jobs."""
    record = driver.record.model_copy(update={"run_id": f"new-{uuid.uuid4().hex}"})
    return RunDriver(driver.store, record, driver.plan, driver.backend)


def stubbed(aws: Emulator) -> Any:
    """Return a client in another region, for stubbed responses."""
    session = Session(
        aws_access_key_id="testing", aws_secret_access_key="testing", region_name="eu-west-3"
    )
    return session.client("batch", endpoint_url=aws.endpoint_url)


def response_for(driver: RunDriver, **members: Any) -> dict[str, Any]:
    """Return the response of DescribeJobs to the jobs of a run."""
    submission = json.loads(driver.store.get(driver.layout.submission(1)))
    common = {"jobQueue": "flowyml-emulator-cpu", "jobDefinition": "d", "startedAt": 0, **members}
    ids = submission["job_ids"].items()
    return {"jobs": [{"jobId": job_id, "jobName": name, **common} for name, job_id in ids]}


def test_all_jobs_are_submitted_at_once_and_depend_on_their_parents(
    aws: Emulator, untouched: RunDriver
) -> None:
    jobs = described(aws, untouched.record.run_id)
    ids = {name: job["jobId"] for name, job in jobs.items()}
    after = {name: [parent["jobId"] for parent in job["dependsOn"]] for name, job in jobs.items()}
    assert after == {"first": [], "second": [ids["first"]], "summarize": [ids["second"]]}


def test_a_job_without_a_machine_is_queued_and_its_dependents_wait(untouched: RunDriver) -> None:
    def states() -> list[JobState]:
        return [view.state for view in untouched.status().jobs]

    expected = [JobState.QUEUED, JobState.WAITING, JobState.WAITING]
    eventually(lambda: states() == expected, "the first job queued")
    assert {view.attempt for view in untouched.status().jobs} == {0}


def test_a_second_client_submits_nothing_twice(aws: Emulator, untouched: RunDriver) -> None:
    aws.calls.clear()
    untouched.advance()
    untouched.advance()
    assert submissions(aws) == 0
    assert len(jobs_of(aws, untouched.record.run_id)) == 3


def test_jobs_that_a_dead_client_did_not_record_are_found_by_name(aws: Emulator, run: Run) -> None:
    rewrite_submission(find_run(run.id), state="going", job_ids={}, age_s=3600)
    aws.advance(5)
    aws.calls.clear()
    status = Run.attach(run.id).advance()
    assert submissions(aws) == 0
    assert len(jobs_of(aws, run.id)) == 3
    assert status.state is RunState.RUNNING
    assert Run.attach(run.id).status().jobs[0].state is JobState.QUEUED


def test_jobs_that_are_not_listed_yet_are_not_submitted_again(
    aws: Emulator, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The previous client died a moment ago: ListJobs does not show its jobs yet.
    monkeypatch.setattr(batch_submission, "_LEASE_S", 0.0)
    rewrite_submission(find_run(run.id), state="going", job_ids={})
    aws.calls.clear()
    Run.attach(run.id).advance()
    assert submissions(aws) == 0
    assert len(jobs_of(aws, run.id)) == 3


def test_jobs_that_a_dead_client_did_not_submit_are_submitted(
    aws: Emulator, untouched: RunDriver
) -> None:
    driver = not_yet_submitted(untouched)
    backend = backend_of(driver, aws.client("batch"))
    backend.submit(driver.plan.jobs[:1], ())
    aws.advance(5)
    rewrite_submission(driver, state="going", job_ids={}, age_s=3600)
    backend_of(driver, aws.client("batch")).submit(driver.plan.jobs, ())
    assert jobs_of(aws, driver.record.run_id).keys() == {"first", "second", "summarize"}


def test_nothing_is_submitted_while_another_client_is_submitting(aws: Emulator, run: Run) -> None:
    rewrite_submission(find_run(run.id), state="going", job_ids={})
    aws.calls.clear()
    status = Run.attach(run.id).advance()
    assert {view.state for view in status.jobs} == {JobState.WAITING}
    assert submissions(aws) == 0


def test_the_next_client_does_not_wait_for_one_that_gave_up(aws: Emulator, run: Run) -> None:
    rewrite_submission(find_run(run.id), state="left")
    Run.attach(run.id).advance()
    assert Run.attach(run.id).status().jobs[0].state is JobState.QUEUED
    assert len(jobs_of(aws, run.id)) == 3


def test_a_refused_submission_can_be_resumed(aws: Emulator, untouched: RunDriver) -> None:
    driver = not_yet_submitted(untouched)
    backend = backend_of(driver, aws.client("batch"))
    aws.client("batch").update_job_queue(jobQueue="flowyml-emulator-cpu", state="DISABLED")
    try:
        with pytest.raises(
            AwsRefusedError, match="submit job 'first' to queue 'flowyml-emulator-cpu'"
        ):
            backend.submit(driver.plan.jobs, ())
        assert jobs_of(aws, driver.record.run_id) == {}
    finally:
        aws.advance(5)  # the end of UPDATING
        aws.client("batch").update_job_queue(jobQueue="flowyml-emulator-cpu", state="ENABLED")
    backend_of(driver, aws.client("batch")).submit(driver.plan.jobs, ())
    assert jobs_of(aws, driver.record.run_id).keys() == {"first", "second", "summarize"}


def test_a_submitted_run_no_longer_needs_an_image(
    untouched: RunDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLOWYML_AWS_IMAGE")
    monkeypatch.delenv("FLOWYML_AWS_REPOSITORY")
    assert Run.attach(untouched.record.run_id).advance().state is RunState.RUNNING


def test_a_missing_image_is_an_error_before_any_job_is_submitted(
    aws: Emulator, untouched: RunDriver
) -> None:
    driver = not_yet_submitted(untouched)
    with pytest.raises(SettingsError, match="`image` is missing"):
        backend_of(driver, aws.client("batch"), image="").submit(driver.plan.jobs, ())
    assert jobs_of(aws, driver.record.run_id) == {}


def test_cancel_ends_every_job_from_another_client(aws: Emulator, run: Run) -> None:
    Run.attach(run.id).cancel()
    assert {job["status"] for job in jobs_of(aws, run.id).values()} == {"FAILED"}
    status = run.advance()
    assert status.state is RunState.CANCELLED
    assert {view.state for view in status.jobs} == {JobState.CANCELLED}


def test_cancel_ends_jobs_that_no_client_recorded(aws: Emulator, run: Run) -> None:
    rewrite_submission(find_run(run.id), state="going", job_ids={})
    Run.attach(run.id).cancel()
    assert {job["status"] for job in jobs_of(aws, run.id).values()} == {"FAILED"}


def test_a_cancelled_run_is_not_submitted(aws: Emulator, run: Run) -> None:
    driver = find_run(run.id)
    rewrite_submission(driver, state="left", job_ids={})
    driver.store.create(driver.layout.cancellation, b"{}")
    aws.calls.clear()
    assert Run.attach(run.id).advance().state is RunState.CANCELLED
    assert submissions(aws) == 0


def test_more_than_a_hundred_jobs_are_joined_described_and_cancelled(
    aws: Emulator, rig: BackendRig
) -> None:
    pipeline = rig.pipeline("wide")
    aws.calls.clear()
    run = pipeline.submit(backend="batch")
    jobs = jobs_of(aws, run.id)
    assert len(jobs) == 106 == submissions(aws)  # 100 and 1, and 5 that join 20 each
    eventually(
        lambda: (
            [view.state for view in run.status().jobs]
            == [JobState.QUEUED] * 100 + [JobState.WAITING]
        ),
        "all queued",
    )
    aws.calls.clear()
    run.status()
    # Like Batch, the emulator accepts at most 100 ids in one call.
    assert Counter(call.operation for call in aws.calls)["DescribeJobs"] == 2
    run.cancel()
    assert {job["status"] for job in jobs_of(aws, run.id).values()} == {"FAILED"}


def test_code_in_the_store_is_not_uploaded_again(aws: Emulator, rig: BackendRig) -> None:
    def uploaded() -> list[str]:
        puts = [call.resource for call in aws.calls if call.operation == "PutObject"]
        return [key for key in puts if "/code/" in key or "/payloads/" in key]

    pipeline = rig.pipeline("waiting")
    aws.calls.clear()
    pipeline.submit(backend="batch")
    assert len(uploaded()) == 2  # the bundle, and the steps of all jobs
    aws.calls.clear()
    pipeline.submit(backend="batch")
    assert uploaded() == []


def test_job_definitions_are_few_and_reused_by_later_runs(aws: Emulator, rig: BackendRig) -> None:
    def registered() -> set[str]:
        pages = aws.client("batch").get_paginator("describe_job_definitions").paginate()
        return {job["jobDefinitionArn"] for page in pages for job in page["jobDefinitions"]}

    rig.pipeline("waiting").submit(backend="batch")
    known = registered()
    rig.pipeline("waiting").submit(backend="batch")
    rig.pipeline("noisy").submit(backend="batch")
    assert registered() == known


def test_a_job_definition_has_shared_memory_the_role_and_an_init_process(
    aws: Emulator, untouched: RunDriver
) -> None:
    container = described(aws, untouched.record.run_id)["first"]["container"]
    assert container["linuxParameters"] == {"sharedMemorySize": 1024, "initProcessEnabled": True}
    assert container["jobRoleArn"] == aws.environment["FLOWYML_AWS_JOB_ROLE"]
    assert container["image"] == aws.environment["FLOWYML_AWS_IMAGE"]


def test_resources_region_and_tags_reach_batch(aws: Emulator, rig: BackendRig) -> None:
    pipeline = rig.pipeline("needy")
    run = pipeline.submit(backend="batch")
    (job,) = described(aws, run.id).values()
    assert job["jobQueue"].endswith("/flowyml-emulator-t4")
    assert job["container"]["resourceRequirements"] == [
        {"type": "GPU", "value": "1"},
        {"type": "MEMORY", "value": "8192"},
        {"type": "VCPU", "value": "3"},
    ]
    assert {"name": "AWS_DEFAULT_REGION", "value": "us-east-1"} in job["container"]["environment"]
    assert job["timeout"]["attemptDurationSeconds"] >= 120
    assert job["tags"]["flowyml-aws:run"] == run.id


def test_job_names_that_batch_refuses_are_replaced(aws: Emulator, rig: BackendRig) -> None:
    pipeline = rig.pipeline("strange")
    run = pipeline.submit(backend="batch")
    assert len(jobs_of(aws, run.id)) == len(pipeline.steps)
    assert list(run.status().steps) == [step.name for step in pipeline.steps]


def test_a_job_that_gave_way_has_the_state_of_the_copy_with_the_claim(
    aws: Emulator, untouched: RunDriver
) -> None:
    driver = not_yet_submitted(untouched)
    backend = backend_of(driver, aws.client("batch"))
    backend.submit(driver.plan.jobs, ())
    claim = JobClaim(copy_id="other", claimed_at=0.0)
    assert claim_job(driver.store, driver.record.run_id, "first", 1, claim) == "other"
    gave_way = response_for(driver, status="FAILED", container={"exitCode": SECOND_COPY})
    jobs = gave_way["jobs"]
    for job in jobs[1:]:
        job.update(status="PENDING", container={})
    runs = {"jobs": [{**jobs[0], "jobId": "other", "status": "RUNNING", "container": {}}]}
    batch = stubbed(aws)
    with Stubber(batch) as stub:
        stub.add_response("describe_jobs", gave_way)
        stub.add_response("describe_jobs", runs, {"jobs": ["other"]})
        states = {job: s.state for job, s in backend_of(driver, batch).statuses().items()}
    waiting = JobState.WAITING
    assert states == {"first": JobState.RUNNING, "second": waiting, "summarize": waiting}


def test_an_unknown_state_is_an_error(aws: Emulator, untouched: RunDriver) -> None:
    batch = stubbed(aws)
    with Stubber(batch) as stub:
        stub.add_response("describe_jobs", response_for(untouched, status="HIBERNATING"))
        with pytest.raises(AwsRefusedError, match="HIBERNATING"):
            backend_of(untouched, batch).statuses()


def test_a_denied_call_is_an_error_and_does_not_count_as_running(
    aws: Emulator, untouched: RunDriver
) -> None:
    batch = stubbed(aws)
    with Stubber(batch) as stub:
        stub.add_client_error("describe_jobs", "ExpiredTokenException", "gone", 403)
        with pytest.raises(AwsRefusedError, match="expired"):
            backend_of(untouched, batch).statuses()


def test_throttled_calls_are_retried(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with throttling(2, then={"jobs": []}) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BATCH", endpoint)
        assert Run.attach(run.id).status().state is RunState.RUNNING


@pytest.mark.parametrize(
    ("container", "status_reason", "expected"),
    [
        (
            {"reason": "OutOfMemoryError: Container killed due to memory usage", "exitCode": 137},
            "Essential container in task exited",
            "out of memory: the job exceeded its memory limit and was killed (exit code 137); "
            "request more memory in the resources of its steps",
        ),
        (
            {
                "reason": "OutOfMemoryError: Container killed due to memory usage",
                "exitCode": 137,
                "resourceRequirements": [{"type": "MEMORY", "value": "512"}],
            },
            "Essential container in task exited",
            "out of memory: the job exceeded its memory limit of 512 MiB and was killed "
            "(exit code 137); request more memory in the resources of its steps",
        ),
        ({}, "Job attempt duration exceeded timeout", "Job attempt duration exceeded timeout"),
        ({}, "", "AWS Batch gives no reason"),
    ],
    ids=["memory limit unknown", "memory limit known", "timeout", "no reason"],
)
def test_a_failed_job_has_batch_s_reason(
    aws: Emulator, untouched: RunDriver, container: Any, status_reason: str, expected: str
) -> None:
    batch = stubbed(aws)
    with Stubber(batch) as stub:
        failed = response_for(
            untouched, status="FAILED", container=container, statusReason=status_reason
        )
        stub.add_response("describe_jobs", failed)
        statuses = backend_of(untouched, batch).statuses()
    assert {status.reason for status in statuses.values()} == {expected}


def test_a_job_that_batch_does_not_know_yet_is_waiting(run: Run) -> None:
    rewrite_submission(find_run(run.id), job_ids={f"{run.id}-first": "new"})
    assert Run.attach(run.id).status().jobs[0].state is JobState.WAITING


def test_a_job_that_batch_lost_is_an_error_that_suggests_another_account_or_region(
    aws: Emulator, run: Run
) -> None:
    rewrite_submission(find_run(run.id), age_s=3600)
    batch = stubbed(aws)
    with Stubber(batch) as stub:
        stub.add_response("describe_jobs", {"jobs": []})
        with pytest.raises(AwsRefusedError, match="eu-west-3"):
            backend_of(find_run(run.id), batch).statuses()


def test_a_job_that_batch_no_longer_lists_and_that_left_no_result_has_failed(run: Run) -> None:
    expired = {f"{run.id}-{job}": str(uuid.uuid4()) for job in ("first", "second", "summarize")}
    rewrite_submission(find_run(run.id), job_ids=expired, age_s=A_WEEK_S + 10)
    status = Run.attach(run.id).status()
    assert [view.state for view in status.jobs] == [
        JobState.FAILED,
        JobState.BLOCKED,
        JobState.BLOCKED,
    ]
    assert status.jobs[0].reason is not None and "no longer lists this job" in status.jobs[0].reason


def test_the_status_of_a_run_with_all_results_calls_no_batch(aws: Emulator, run: Run) -> None:
    driver = find_run(run.id)
    for job in driver.plan.jobs:
        result = {
            "run_id": run.id,
            "job": job.name,
            "attempt": 1,
            "state": "succeeded",
            "started_at": 1.0,
            "ended_at": 2.0,
            "steps": [{"name": name, "state": "succeeded"} for name in job.steps],
            "assets": {},
            "skipped": [],
        }
        driver.store.put(driver.layout.result(job.name), json.dumps(result).encode())
    aws.calls.clear()
    assert Run.attach(run.id).status().state is RunState.SUCCEEDED
    assert {call.service for call in aws.calls} == {"s3"}
