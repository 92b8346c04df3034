"""Array jobs of maps, on an account without machines: calls, lost answers, takeovers, cancel.

Their jobs run in `tests/aws/test_maps.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from flowyml_aws.aws.batch.batch_job import job_places
from flowyml_aws.services.connect import find_run
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.record import RunState
from flowyml_aws.testing import Capacity, Emulator
from tests.aws.batch.test_takeover import (
    Clock,
    Suspension,
    batch_jobs_of,
    client_of,
    copies,
    holder,
    left,
    listed,
    new_batch,
    not_yet_submitted,
    suspended,
    write_results,
)
from tests.support.rigs import BackendRig, raised_emulator

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("batch-arrays")]


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with raised_emulator(capacity=Capacity(vcpus=0, memory_mib=0)) as aws:
        yield aws


@pytest.fixture(scope="module")
def submitted(aws: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunDriver]:
    rig = BackendRig("batch", tmp_path_factory.mktemp("shared") / "project", aws.environment)
    with rig.entered():
        yield find_run(rig.pipeline("arrays").submit(backend="batch").id)


@pytest.fixture
def run(submitted: RunDriver) -> RunDriver:
    """A run of two maps, one after the other item by item, and a job that reads all."""
    return not_yet_submitted(submitted)


def arrays_of(aws: Emulator, driver: RunDriver) -> list[dict[str, Any]]:
    """Return the array jobs of a run that have not ended, in their order."""
    jobs = [job for job in listed(aws, driver) if job["status"] != "FAILED"]
    arrays = [job for job in jobs if "size" in job.get("arrayProperties", {})]
    return sorted(arrays, key=lambda job: job["createdAt"])


def claims(driver: RunDriver) -> dict[str, str | None]:
    return {job.name: holder(driver, job.name) for job in driver.plan.jobs}


def test_each_map_is_submitted_with_one_call_and_polled_with_one_call(
    aws: Emulator, run: RunDriver
) -> None:
    clock = Clock(aws)
    client = client_of(run, new_batch(aws), clock)
    aws.calls.clear()
    client.advance()
    assert sum(call.operation == "SubmitJob" for call in aws.calls) == 3
    aws.calls.clear()
    states = {view.job.name: view.state for view in client.advance().jobs}
    assert sum(call.operation == "DescribeJobs" for call in aws.calls) == 1
    assert {states[f"square-{n}"] for n in range(4)} == {JobState.QUEUED}
    assert {states[f"halve-{n}"] for n in range(4)} == {JobState.WAITING}


def test_an_array_whose_submission_was_not_answered_is_found_by_its_name(
    aws: Emulator, run: RunDriver
) -> None:
    aws.faults.lose_answers("SubmitJob", 2)
    client_of(run, new_batch(aws), Clock(aws)).advance()
    assert sorted(copies(aws, run).values()) == [1, 1, 1]


def test_an_array_that_exists_twice_is_claimed_child_by_child_for_one_copy(
    aws: Emulator, run: RunDriver
) -> None:
    clock, other_clock = Clock(aws), Clock(aws)
    other = client_of(run, new_batch(aws), other_clock)

    def take_over() -> None:
        clock.pass_by(200)
        other_clock.now = clock.now
        other.advance()

    # The first client wakes up after its lease: its call arrives nevertheless.
    first = client_of(run, suspended(aws, Suspension(1, take_over)), clock)
    first.advance()
    names = copies(aws, run)
    assert sorted(names.values()) == [1, 1, 2]
    (kept,) = {str(copy).partition(":")[0] for job, copy in claims(run).items() if "square" in job}
    ids = json.loads(run.store.get(run.layout.submission(2)))["job_ids"]
    square = job_places(batch_jobs_of(run))["square-0"]
    assert ids[square.batch_job.name] == kept
    assert claims(run)["square-3"] == f"{kept}:3"


def test_a_client_that_attaches_in_the_middle_continues_the_arrays(
    aws: Emulator, run: RunDriver
) -> None:
    clock = Clock(aws)

    def die() -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        client_of(run, suspended(aws, Suspension(2, die)), clock).advance()
    clock.pass_by(200)
    client_of(run, new_batch(aws), clock).advance()
    assert sorted(copies(aws, run).values()) == [1, 1, 1]
    write_results(run)
    assert client_of(run, new_batch(aws), clock).advance().state is RunState.SUCCEEDED


def test_cancel_ends_arrays_with_one_call_each(aws: Emulator, run: RunDriver) -> None:
    clock = Clock(aws)
    client = client_of(run, new_batch(aws), clock)
    client.advance()
    aws.calls.clear()
    assert client.cancel() == []
    assert sum(call.operation == "TerminateJob" for call in aws.calls) == 3
    assert left(aws, run) == []
    assert client.advance().state is RunState.CANCELLED


def test_a_child_that_waits_for_a_machine_is_withdrawn_alone(aws: Emulator, run: RunDriver) -> None:
    client = client_of(run, new_batch(aws), Clock(aws))
    client.advance()
    client.backend.withdraw("square-1")  # type: ignore[attr-defined]  # Batch has it
    states = client.backend.statuses()
    failed = {job for job, status in states.items() if status.state is JobState.FAILED}
    assert failed == {"square-1", "halve-1"}
    assert states["square-0"].state is JobState.QUEUED


def test_a_job_after_a_broken_array_is_submitted_once_the_other_results_exist(
    aws: Emulator, run: RunDriver
) -> None:
    """A child that Batch has failed without a reason of the run leaves its array."""
    clock = Clock(aws)
    client = client_of(run, new_batch(aws), clock)
    client.advance()
    halves = arrays_of(aws, run)[1]
    squares = [job for job in run.plan.jobs if job.name.startswith("square")]
    write_results(run, squares)
    first = arrays_of(aws, run)[0]
    aws.client("batch").terminate_job(jobId=f"{first['jobId']}:1", reason="killed")
    client.advance()  # halve-1 has failed because of square-1, which has a result
    client.advance()
    names = {view.job.name: view.job.submission for view in client.status().jobs}
    assert (names["halve-0"], names["halve-1"], names["total"]) == (0, 1, 1)
    own = {job["jobName"] for job in listed(aws, run)}
    assert any("halve-1-submission-1" in name for name in own)
    assert not any("total-submission" in name for name in own)
    halve = [job for job in run.plan.jobs if job.name in ("halve-0", "halve-2", "halve-3")]
    write_results(run, halve)
    aws.client("batch").terminate_job(jobId=halves["jobId"], reason="enough")
    client.advance()
    own = {job["jobName"] for job in listed(aws, run)}
    assert any("total-submission-1" in name for name in own)
