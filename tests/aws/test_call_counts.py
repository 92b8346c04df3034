"""How often a client asks AWS about a run of 300 jobs that nobody runs for now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import ceil

import pytest

from flowyml_aws import Run
from flowyml_aws.submission.backend import JobState
from flowyml_aws.testing import Capacity, Emulator
from tests.support.places import Place

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("call-counts")]

JOBS = 300


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with Emulator(capacity=Capacity(vcpus=0, memory_mib=0), training_at_once=0) as aws:
        yield aws


def submitted(place: Place, backend: str) -> Run:
    return place.pipeline("wide:apart").submit(backend)


def calls_of_a_look(aws: Emulator, run: Run) -> Counter[tuple[str, str]]:
    run.status()  # who comes late asks the store for every job's result, once
    aws.calls.clear()
    status = run.status()
    assert {view.state for view in status.jobs} == {JobState.QUEUED}
    assert len(status.jobs) == JOBS
    return Counter((call.service, call.operation) for call in aws.calls)


def test_batch_is_asked_for_a_hundred_jobs_in_a_call(aws: Emulator, place: Place) -> None:
    run = submitted(place, "batch")
    calls = calls_of_a_look(aws, Run.attach(run.id))
    assert calls.pop(("batch", "DescribeJobs")) <= 1 + JOBS / 100
    assert {service for service, _ in calls} <= {"s3"}
    assert calls.total() <= 3, calls


def test_sagemaker_is_asked_by_name_for_a_hundred_jobs_in_a_call(
    aws: Emulator, place: Place
) -> None:
    run = submitted(place, "sagemaker")
    calls = calls_of_a_look(aws, Run.attach(run.id))
    listed = {call.resource for call in aws.calls if call.operation == "ListTrainingJobs"}
    assert listed == {run.id}
    assert calls.pop(("sagemaker", "ListTrainingJobs")) == ceil(JOBS / 100)
    assert {service for service, _ in calls} <= {"s3"}
    assert calls.total() <= 3, calls
