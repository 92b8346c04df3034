"""Number of AWS calls that clients make for runs of many jobs, none of which runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Literal

import pytest

from flowyml_aws import Pipeline, Run
from flowyml_aws.aws.s3.store import S3ArtifactStore
from flowyml_aws.runtime.argument import SpecArgument
from flowyml_aws.runtime.attempt import Attempt
from flowyml_aws.runtime.interruption import Interruption
from flowyml_aws.runtime.result import AttemptEvents, JobResult, StepFailure, StepReport, StepState
from flowyml_aws.runtime.runner import JobRunner
from flowyml_aws.runtime.specs import read_spec_at
from flowyml_aws.runtime.summary import JobSummary
from flowyml_aws.services.connect import find_run
from flowyml_aws.submission.backend import JobState
from flowyml_aws.testing import Capacity, Emulator
from tests.support.rigs import BackendRig, eventually, raised_emulator

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("call-counts")]

SIZES = [
    pytest.param("wide:sixty_apart", 60, id="60 jobs"),
    pytest.param("wide:three_hundred_apart", 300, id="300 jobs", marks=pytest.mark.thorough),
]
sizes = pytest.mark.parametrize(("name", "jobs"), SIZES)
# More than fit in one call.
large_sizes = pytest.mark.parametrize(
    ("name", "jobs"),
    [pytest.param("wide:apart", 120, id="120 jobs"), SIZES[1]],
)
# Parts of the first submission to an account: the job definition is registered, and the code and
# the payloads are uploaded.
FIRST_SUBMISSION = 3


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with raised_emulator(capacity=Capacity(vcpus=0, memory_mib=0), training_at_once=0) as aws:
        yield aws


def most_calls_to_look(jobs: int) -> float:
    """Return the number of calls that looking at a run may cost."""
    return 20 + jobs / 40


def most_calls_to_submit(jobs: int) -> float:
    """Return the number of calls that a submission may cost."""
    return 20 + jobs + jobs / 50


def counts(aws: Emulator) -> Counter[tuple[str, str]]:
    """Return the calls since the last time."""
    calls = Counter((call.service, call.operation) for call in aws.calls)
    aws.calls.clear()
    return calls


def calls_of_a_poll(aws: Emulator, run: Run, jobs: int) -> Counter[tuple[str, str]]:
    def all_wait() -> bool:
        return {view.state for view in run.status().jobs} == {JobState.QUEUED}

    eventually(all_wait)  # listings of SageMaker show new jobs only later
    aws.calls.clear()
    status = run.status()
    assert len(status.jobs) == jobs
    return Counter((call.service, call.operation) for call in aws.calls)


def end_jobs(aws: Emulator, run: Run, state: Literal["succeeded", "failed"]) -> None:
    """Commit a result for each job, as its runner does."""
    driver = find_run(run.id)
    # Clients may not write what jobs write.
    store = S3ArtifactStore.from_uri(aws.client("s3"), driver.store.uri)
    failure = StepFailure(kind="ValueError", message="no", traceback="Traceback …")
    for job in driver.plan.jobs:
        report = StepReport(
            name=job.steps[0],
            state=StepState(state),
            started_at=10.0,
            ended_at=12.0,
            failure=failure if state == "failed" else None,
        )
        result = JobResult(
            run_id=run.id,
            job=job.name,
            attempt=1,
            state=state,
            started_at=10.0,
            ended_at=15.0,
            steps=(report,),
            assets={},
            skipped={},
        )
        events = AttemptEvents(attempt=1, steps=(report,), assets={})
        summary = JobSummary.of(result).to_name()
        assert summary is not None
        store.put(driver.layout.attempt(job.name, 1, "events.json"), events.to_json())
        store.create(driver.layout.result(job.name), result.to_json())
        store.create(driver.layout.summary(job.name, summary), b"")


@sizes
def test_a_submission_costs_little_more_than_a_call_for_each_job(
    aws: Emulator, rig: BackendRig, name: str, jobs: int
) -> None:
    pipeline: Pipeline = rig.pipeline(name)
    aws.calls.clear()
    pipeline.submit(backend="batch")
    first = counts(aws)
    assert first["batch", "SubmitJob"] == jobs
    assert first.total() <= most_calls_to_submit(jobs) + FIRST_SUBMISSION, first
    pipeline.submit(backend="batch")
    second = counts(aws)
    assert second.total() <= most_calls_to_submit(jobs), second


@sizes
def test_looking_at_a_running_run_costs_few_calls(
    aws: Emulator, rig: BackendRig, name: str, jobs: int
) -> None:
    run = rig.pipeline(name).submit(backend="batch")
    aws.calls.clear()
    Run.attach(run.id).status()
    assert (calls := counts(aws)).total() <= most_calls_to_look(jobs), calls
    Run.attach(run.id).advance()
    assert (calls := counts(aws)).total() <= most_calls_to_look(jobs), calls


@sizes
@pytest.mark.parametrize("state", ["succeeded", "failed"])
def test_looking_at_a_run_that_has_ended_costs_few_calls(
    aws: Emulator, rig: BackendRig, name: str, jobs: int, state: Literal["succeeded", "failed"]
) -> None:
    run = rig.pipeline(name).submit(backend="batch")
    end_jobs(aws, run, state)
    aws.calls.clear()
    status = Run.attach(run.id).status()
    assert (calls := counts(aws)).total() <= most_calls_to_look(jobs), calls
    assert {view.state.value for view in status.jobs} == {state}
    assert {view.cost_usd for view in status.jobs} != {None}
    assert {report.duration_s for report in status.steps.values()} == {2.0}
    result = Run.attach(run.id).wait()
    assert (calls := counts(aws)).total() <= most_calls_to_look(jobs), calls
    assert result.success == (state == "succeeded")
    if state == "failed":
        errors = [step.error for step in result.step_results.values()]
        assert "Traceback …" in errors and None not in errors


@large_sizes
def test_a_cancelled_run_is_listed_once(
    aws: Emulator, rig: BackendRig, name: str, jobs: int
) -> None:
    run = rig.pipeline(name).submit(backend="batch")
    calls_of_a_poll(aws, run, jobs)  # waits until the listing shows all jobs
    aws.calls.clear()
    assert Run.attach(run.id).cancel() == []
    calls = counts(aws)
    assert calls.pop(("batch", "TerminateJob")) == jobs
    assert calls["batch", "ListJobs"] <= 1 + jobs / 100
    # One call shows that the run is running, the others that nothing is left.
    assert calls["batch", "DescribeJobs"] <= 2 + jobs / 100
    assert calls.total() <= most_calls_to_look(jobs), calls
    assert {view.state for view in run.status().jobs} == {JobState.CANCELLED}


@large_sizes
def test_cancelling_a_run_whose_jobs_have_ended_costs_few_calls(
    aws: Emulator, rig: BackendRig, name: str, jobs: int
) -> None:
    """They wait for a machine although they have a result, as after a host that was lost."""
    run = rig.pipeline(name).submit(backend="batch")
    calls_of_a_poll(aws, run, jobs)
    end_jobs(aws, run, "succeeded")
    aws.calls.clear()
    assert Run.attach(run.id).cancel() == []
    calls = counts(aws)
    assert calls.pop(("batch", "TerminateJob")) == jobs
    assert calls.total() <= most_calls_to_look(jobs), calls


@large_sizes
def test_one_call_to_batch_describes_a_hundred_jobs(
    aws: Emulator, rig: BackendRig, name: str, jobs: int
) -> None:
    run = rig.pipeline(name).submit(backend="batch")
    calls = calls_of_a_poll(aws, Run.attach(run.id), jobs)
    assert calls.pop(("batch", "DescribeJobs")) <= 1 + jobs / 100
    assert {service for service, _ in calls} <= {"s3"}
    assert calls.total() <= 3, calls


def test_all_logs_of_a_run_cost_one_description_of_a_hundred_jobs(
    aws: Emulator, rig: BackendRig
) -> None:
    run = rig.pipeline("wide:apart").submit(backend="batch")
    attached = Run.attach(run.id)
    aws.calls.clear()
    assert list(attached.logs()) == []
    assert [call.operation for call in aws.calls].count("DescribeJobs") == 2
    aws.calls.clear()
    assert list(Run.attach(run.id).logs(run.plan.jobs[-1].name)) == []
    assert [call.operation for call in aws.calls].count("DescribeJobs") == 1


@large_sizes
def test_one_call_to_sagemaker_lists_a_hundred_jobs_by_name(
    aws: Emulator, rig: BackendRig, name: str, jobs: int
) -> None:
    run = rig.pipeline(name).submit(backend="sagemaker")
    calls = calls_of_a_poll(aws, Run.attach(run.id), jobs)
    listed = {call.resource for call in aws.calls if call.operation == "ListTrainingJobs"}
    assert listed == {run.id}
    assert calls.pop(("sagemaker", "ListTrainingJobs")) == ceil(jobs / 100)
    assert {service for service, _ in calls} <= {"s3"}
    assert calls.total() <= 3, calls


def test_the_list_of_a_map_costs_one_read_for_each_job(
    aws: Emulator, rig: BackendRig, tmp_path: Path
) -> None:
    """The runners of the jobs run in this process."""
    pipeline = rig.pipeline("gathered")
    run = pipeline.submit(backend="batch", cache=False)
    driver = find_run(run.id)
    store = S3ArtifactStore.from_uri(aws.client("s3"), driver.store.uri)
    steps = {step.name: step for step in pipeline.steps}
    for job in driver.plan.jobs:  # in their order
        argument = driver.record.spec_argument(job.name, store.uri)
        attempt = Attempt.begin(read_spec_at(store, SpecArgument.parse(argument)), store, 1)
        runner = JobRunner(attempt, steps, pipeline.context, (), tmp_path / "files", Interruption())
        aws.calls.clear()
        assert runner.run()
        calls = counts(aws)
        attempt.commit("succeeded")
    aws.calls.clear()
    assert job.name == "total"
    assert calls["s3", "GetObject"] == 3

    assert Run.attach(run.id).outputs["squares"] == [number**2 for number in range(60)]
    read = [call.resource for call in aws.calls if call.operation == "GetObject"]
    assert sorted(key.partition("/jobs/")[2] for key in read if "/jobs/square" in key) == [
        f"square-{first}-{first + 19}/result.json" for first in (0, 20, 40)
    ]
    assert not [key for key in read if "/artifacts/" in key]


def test_a_submission_reads_the_queues_of_the_account_once(aws: Emulator, rig: BackendRig) -> None:
    pipeline = rig.pipeline("noisy")
    aws.calls.clear()
    pipeline.submit(backend="batch")
    calls = Counter(call.operation for call in aws.calls)
    assert calls["DescribeJobQueues"] == calls["DescribeComputeEnvironments"] == 1
    assert calls["GetCallerIdentity"] == 1
