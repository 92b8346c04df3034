"""Runs of maps as array jobs, on an emulated account whose jobs really run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import pytest

from flowyml_aws import Run
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.runtime.claim import JobClaim, claim_job
from flowyml_aws.runtime.exit_codes import SECOND_COPY
from flowyml_aws.services.connect import find_run
from flowyml_aws.submission.backend import JobState
from flowyml_aws.testing import Emulator
from tests.support.rigs import BackendRig, raised_emulator

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("batch-maps")]

TOTAL = (0 + 1 + 4 + 9) / 2


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with raised_emulator() as aws:
        yield aws


def test_a_child_that_runs_out_of_memory_moves_alone_and_the_run_succeeds(
    aws: Emulator, rig: BackendRig
) -> None:
    aws.calls.clear()
    run = rig.pipeline("arrays", large=2).submit(backend="batch")
    assert sum(call.operation == "SubmitJob" for call in aws.calls) == 3
    result = run.wait()
    assert result["total"] == TOTAL
    (move,) = result.status.moves
    assert (move.job, move.cause) == ("square-2", Cause.OUT_OF_MEMORY)
    # The moved job, and the two jobs after it.
    assert sum(call.operation == "SubmitJob" for call in aws.calls) == 6
    assert Counter(rig.ran()) == {
        **{f"square {n}": 1 + (n == 2) for n in range(4)},
        **{f"halve {n * n}": 1 for n in range(4)},
        "total": 1,
    }
    lines = [line.message for line in Run.attach(run.id).logs("halve-3")]
    assert any("job halve-3, attempt 1" in line for line in lines)


def test_a_map_with_two_items_per_job_waits_for_two_arrays_with_one(
    aws: Emulator, rig: BackendRig
) -> None:
    aws.calls.clear()
    run = rig.pipeline("arrays:in_pairs", large=2).submit(backend="batch")
    # The first and the second items of all pairs, the pairs, and the last job.
    assert sum(call.operation == "SubmitJob" for call in aws.calls) == 4
    result = run.wait()
    assert result["total"] == TOTAL
    assert [move.job for move in result.status.moves] == ["square-2"]
    assert Counter(rig.ran()) == {
        **{f"square {n}": 1 + (n == 2) for n in range(4)},
        **{f"halve {n * n}": 1 for n in range(4)},
        "total": 1,
    }


def test_a_child_that_fails_blocks_only_the_child_of_its_index(
    aws: Emulator, rig: BackendRig
) -> None:
    result = rig.pipeline("arrays", bad=1).run(backend="batch", progress=False)
    states = {view.job.name: view.state for view in result.status.jobs}
    failed = {name: state for name, state in states.items() if state is not JobState.SUCCEEDED}
    assert failed == {
        "square-1": JobState.FAILED,
        "halve-1": JobState.BLOCKED,
        "total": JobState.BLOCKED,
    }
    assert "ValueError: 1 is bad" in (result.status.jobs[1].reason or "")
    assert Counter(rig.ran())["halve 9"] == 1


def test_each_item_runs_once_although_its_array_exists_twice(
    aws: Emulator, rig: BackendRig
) -> None:
    batch = aws.client("batch")
    aws.faults.withhold("flowyml-emulator-cpu")
    run = rig.pipeline("arrays").submit(backend="batch")
    driver = find_run(run.id)
    ids = json.loads(driver.store.get(driver.layout.submission(1)))["job_ids"]
    first = next(job_id for name, job_id in ids.items() if "-square-" in name)
    (detail,) = batch.describe_jobs(jobs=[first])["jobs"]
    second = batch.submit_job(
        jobName=detail["jobName"],
        jobQueue=detail["jobQueue"],
        jobDefinition=detail["jobDefinition"],
        containerOverrides={k: detail["container"][k] for k in ("command", "environment")},
        retryStrategy=detail["retryStrategy"],
        arrayProperties={"size": 4},
        tags=detail["tags"],
    )["jobId"]
    # One child of the second array is faster than that of the first one.
    for n, array in enumerate((first, second, first, first)):
        claim = JobClaim(copy_id=f"{array}:{n}", claimed_at=0.0)
        claim_job(driver.store, run.id, f"square-{n}", 1, claim)
    aws.faults.withhold("flowyml-emulator-cpu", None)
    result = run.wait()
    assert result["total"] == TOTAL
    ran = Counter(rig.ran())
    assert {name: ran[name] for name in ran if name.startswith("square")} == {
        f"square {n}": 1 for n in range(4)
    }
    assert result.status.lost == {}
    codes = [
        job["container"]["exitCode"]
        for job in batch.describe_jobs(jobs=[f"{second}:{n}" for n in range(4)])["jobs"]
    ]
    assert codes == [SECOND_COPY, 0, SECOND_COPY, SECOND_COPY]
