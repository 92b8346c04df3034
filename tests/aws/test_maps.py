"""Runs of maps as array jobs, on an emulated account whose jobs really run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from flowyml_aws import Run
from flowyml_aws.runtime.causes import Cause
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
    run = rig.pipeline("mapped", large=2).submit(backend="batch")
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


def test_a_child_that_fails_blocks_only_the_child_of_its_index(
    aws: Emulator, rig: BackendRig
) -> None:
    result = rig.pipeline("mapped", bad=1).run(backend="batch", progress=False)
    states = {view.job.name: view.state for view in result.status.jobs}
    failed = {name: state for name, state in states.items() if state is not JobState.SUCCEEDED}
    assert failed == {
        "square-1": JobState.FAILED,
        "halve-1": JobState.BLOCKED,
        "total": JobState.BLOCKED,
    }
    assert "ValueError: 1 is bad" in (result.status.jobs[1].reason or "")
    assert Counter(rig.ran())["halve 9"] == 1
