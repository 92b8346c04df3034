"""Number of AWS calls with which a client polls a run of many jobs, none of which runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import ceil

import pytest

from flowyml_aws import Run
from flowyml_aws.submission.backend import JobState
from flowyml_aws.testing import Capacity, Emulator
from tests.support.rigs import BackendRig, raised_emulator

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("call-counts")]

SIZES = [
    pytest.param("wide:apart", 120, id="120 jobs"),
    pytest.param("wide:three_hundred_apart", 300, id="300 jobs", marks=pytest.mark.thorough),
]
sizes = pytest.mark.parametrize(("name", "jobs"), SIZES)


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with raised_emulator(capacity=Capacity(vcpus=0, memory_mib=0), training_at_once=0) as aws:
        yield aws


def calls_of_a_poll(aws: Emulator, run: Run, jobs: int) -> Counter[tuple[str, str]]:
    run.status()  # a new client reads every job's result from the store, once
    aws.calls.clear()
    status = run.status()
    assert {view.state for view in status.jobs} == {JobState.QUEUED}
    assert len(status.jobs) == jobs
    return Counter((call.service, call.operation) for call in aws.calls)


@sizes
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


@sizes
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


def test_a_submission_reads_the_queues_of_the_account_once(aws: Emulator, rig: BackendRig) -> None:
    pipeline = rig.pipeline("noisy")
    aws.calls.clear()
    pipeline.submit(backend="batch")
    calls = Counter(call.operation for call in aws.calls)
    assert calls["DescribeJobQueues"] == calls["DescribeComputeEnvironments"] == 1
    assert calls["GetCallerIdentity"] == 1
