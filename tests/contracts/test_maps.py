"""Steps that run for each item of a list, on every backend."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws import Run
from flowyml_aws.artifacts.layout import EVENTS
from flowyml_aws.client.result import PipelineResult
from flowyml_aws.core.errors import InvalidPipelineError
from flowyml_aws.runtime.result import StepState
from flowyml_aws.services.connect import find_run
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.status import failures
from tests.support.rigs import BackendRig, eventually

START = """
import sys
from flowyml_aws.cli.load import load_pipeline
pipeline = load_pipeline("maps.py:held")
run = pipeline.submit(backend=sys.argv[1], context={"trace": sys.argv[2]})
print(run.id, flush=True)
run.wait()
"""

locally = pytest.mark.parametrize(
    "rig", [pytest.param("local", marks=pytest.mark.contract)], indirect=True
)


def run(rig: BackendRig, name: str, **context: Any) -> PipelineResult:
    return rig.pipeline(f"maps:{name}", **context).run(backend=rig.backend, progress=False)


def begun_attempts(run_id: str) -> dict[str, int]:
    """Return how many attempts of each job have begun.

    In the shared account, starts of containers fail by chance: these attempts never begin.
    """
    driver = find_run(run_id)
    store, layout = driver.store, driver.layout
    return {
        job.name: sum(
            EVENTS in store.children(layout.attempt(job.name, int(number), ""))
            for number in store.children(layout.attempts(job.name))
        )
        for job in driver.plan.jobs
    }


def allow(rig: BackendRig) -> None:
    """Let the bad shards succeed."""
    Path(f"{rig.trace}.go").touch()


def ran_since(rig: BackendRig, before: int) -> list[str]:
    return sorted(rig.ran()[before:])


def test_failed_items_leave_the_others_and_run_alone_again(rig: BackendRig) -> None:
    first = run(rig, "finish")
    assert not first.success
    states = {name: report.state.value for name, report in first.status.steps.items()}
    assert [states[f"square[{i}]"] for i in range(5)] == [
        "succeeded",
        "succeeded",
        "failed",
        "failed",
        "succeeded",
    ]
    assert states["halve[2]"] == states["add"] == "not run"
    (failure,) = failures(first.status)
    assert "step 'square[2]': ValueError: shard 3 is bad" in str(failure)
    assert failure.steps.keys() == {"square[2]", "square[3]"}

    allow(rig)
    before = len(rig.ran())
    second = run(rig, "finish")
    assert second.success, second.summary()
    assert second["total"] == sum(i * i / 2 for i in range(1, 6))
    assert ran_since(rig, before) == ["add", "halve 16", "halve 9", "square 3", "square 4"]

    before = len(rig.ran())
    # In another order, with one more, and one that has changed.
    third = run(rig, "finish", shards=[6, 5, 4, 3, 7, 1])
    assert third["total"] == second["total"] + (36 + 49 - 4) / 2
    assert ran_since(rig, before) == ["add", "halve 36", "halve 49", "square 6", "square 7"]
    assert run(rig, "finish", shards=[2, 4])["text"] == "total 10.0"
    assert ran_since(rig, before)[:2] == ["add", "add"] and len(ran_since(rig, before)) == 6


def test_dropped_items_are_left_out_and_what_misses_them_is_not_cached(rig: BackendRig) -> None:
    first = run(rig, "drop")
    assert first.success, first.summary()
    assert first["text"] == f"total {(1 + 4 + 25) / 2}"
    allow(rig)
    before = len(rig.ran())
    second = run(rig, "drop")
    assert second["text"] == f"total {(1 + 4 + 9 + 16 + 25) / 2}"
    assert ran_since(rig, before) == ["add", "halve 16", "halve 9", "square 3", "square 4"]
    before = len(rig.ran())
    assert run(rig, "drop")["text"] == second["text"]
    assert ran_since(rig, before) == []


@locally
def test_too_many_dropped_items_fail_their_reader(rig: BackendRig) -> None:
    result = run(rig, "strict")
    assert not result.success
    (failure,) = failures(result.status)
    assert "step 'add' can't read 'half': 2 of 5 items failed" in str(failure)
    assert "at least 4 must succeed" in failure.tracebacks[0]


@locally
def test_the_first_failed_item_stops_its_job(rig: BackendRig) -> None:
    result = run(rig, "stop")
    assert not result.success
    assert "square 4" not in rig.ran()
    states = {name: report.state.value for name, report in result.status.steps.items()}
    assert (states["square[2]"], states["square[3]"]) == ("failed", "not run")


@locally
def test_a_resumed_run_executes_the_failed_items_alone(rig: BackendRig) -> None:
    pipeline = rig.pipeline("maps:finish")
    failed = pipeline.submit(backend=rig.backend)
    assert not failed.wait().success
    allow(rig)
    before = len(rig.ran())
    result = failed.resume().wait()
    assert result["total"] == sum(i * i / 2 for i in range(1, 6))
    assert ran_since(rig, before) == ["add", "halve 16", "halve 9", "square 3", "square 4"]


def test_a_new_client_continues_a_map_and_a_lost_host_repeats_one_item(rig: BackendRig) -> None:
    rig.write("maps")
    with rig.client("-c", START, rig.backend, str(rig.trace)) as client:
        assert client.stdout is not None
        run_id = client.stdout.readline().strip()
        eventually(lambda: "hold 2" in rig.ran(), "the second item running")
        client.kill()
    attached = Run.attach(run_id)
    eventually(
        lambda: attached.status().steps["hold[1]"].state is StepState.RUNNING,
        "the item reported as running",
    )
    lost = Path(f"{rig.trace}.lost")
    lost.touch()
    eventually(lambda: not lost.exists(), "the loss of the host")
    allow(rig)
    result = attached.wait()
    assert result["total"] == 10, result.summary()
    assert Counter(rig.ran()) == {"hold 1": 1, "hold 2": 2, "hold 3": 1, "hold 4": 1, "add": 1}
    assert begun_attempts(run_id) == {"hold-0-1": 2, "hold-2-3": 1, "add": 1}


def test_a_cancelled_map_continues_with_the_items_that_were_not_finished(rig: BackendRig) -> None:
    cancelled = rig.pipeline("maps:held").submit(backend=rig.backend)

    def only_one_item_is_left() -> bool:
        cancelled.advance()
        jobs = {view.job.name: view.state for view in cancelled.status().jobs}
        return "hold 2" in rig.ran() and jobs["hold-2-3"] is JobState.SUCCEEDED

    eventually(only_one_item_is_left, "the other items succeeded")
    cancelled.cancel()
    result = cancelled.wait()
    assert result.state == "cancelled"
    states = {name: report.state.value for name, report in result.status.steps.items()}
    assert states == {
        "hold[0]": "succeeded",
        "hold[1]": "cancelled",
        "hold[2]": "succeeded",
        "hold[3]": "succeeded",
        "add": "not run",
    }
    allow(rig)
    assert cancelled.resume().wait()["total"] == 10
    assert Counter(rig.ran()) == {"hold 1": 1, "hold 2": 2, "hold 3": 1, "hold 4": 1, "add": 1}


def test_a_list_that_the_run_produces_is_mapped_item_by_item(rig: BackendRig) -> None:
    first = run(rig, "produced_finish")  # planned for 3 items, and has 5
    assert not first.success
    states = {name: report.state.value for name, report in first.status.steps.items()}
    squares = [states[f"square[{i}]"] for i in range(5)]
    assert squares == ["succeeded", "succeeded", "failed", "failed", "succeeded"]
    assert states["halve[2]"] == states["square{2/3}"] == states["add"] == "not run"
    assert first["squared{1/3}"] == [1]

    allow(rig)
    before = len(rig.ran())
    second = run(rig, "produced_finish")
    assert second["total"] == sum(i * i / 2 for i in range(1, 6))
    assert second["shards"] == [1, 2, 3, 4, 5]
    assert ran_since(rig, before) == ["add", "halve 16", "halve 9", "square 3", "square 4"]

    before = len(rig.ran())
    third = run(rig, "produced_finish", numbers=[6, 5, 4, 3, 2, 1])
    assert third["total"] == second["total"] + 18
    assert ran_since(rig, before) == ["add", "halve 36", "list", "square 6"]


@locally
def test_nothing_starts_again_for_the_same_produced_list(rig: BackendRig) -> None:
    allow(rig)
    first = run(rig, "produced_finish")
    before = len(rig.ran())
    again = run(rig, "produced_finish")
    assert not again.status.jobs
    assert again["text"] == first["text"]
    assert ran_since(rig, before) == []


@locally
def test_a_produced_list_is_assumed_to_be_as_long_as_in_the_last_run(rig: BackendRig) -> None:
    allow(rig)
    with pytest.raises(InvalidPipelineError, match=r"square\.map\(…, expect=N\)"):
        rig.pipeline("maps:produced_unknown").plan(backend=rig.backend)
    first = run(rig, "produced_finish")
    before = len(rig.ran())
    numbers = [5, 4, 3, 2, 1]
    again = rig.pipeline("maps:produced_unknown", numbers=numbers).submit(backend=rig.backend)
    assert again.plan.maps["square"].parts == 5
    (note,) = [each for each in again.plan.notes if "produced in this run" in each]
    assert note.endswith(f"from the length in run {first.run_id}")
    assert again.wait()["text"] == first["text"]
    assert ran_since(rig, before) == ["add", "list"]


@locally
def test_a_produced_list_may_be_empty(rig: BackendRig) -> None:
    result = run(rig, "produced_strict", numbers=[])
    assert result["total"] == 0
    assert result["half{2/3}"] == []


@locally
def test_failed_items_of_a_produced_list_are_dropped(rig: BackendRig) -> None:
    first = run(rig, "produced_drop")
    assert first["text"] == f"total {(1 + 4 + 25) / 2}"
    allow(rig)
    before = len(rig.ran())
    second = run(rig, "produced_drop")
    assert second["text"] == f"total {(1 + 4 + 9 + 16 + 25) / 2}"
    assert ran_since(rig, before) == ["add", "halve 16", "halve 9", "square 3", "square 4"]


@locally
def test_items_after_a_dropped_one_are_left_out_whatever_the_rule_of_their_step(
    rig: BackendRig,
) -> None:
    result = run(rig, "produced_mixed")
    assert result["text"] == f"total {(1 + 4 + 25) / 2}"
    assert result["half"] == [0.5, 2.0, 12.5]


@locally
def test_too_many_dropped_items_of_a_produced_list_fail_their_reader(rig: BackendRig) -> None:
    (failure,) = failures(run(rig, "produced_strict").status)
    assert "step 'add' can't read 'half': 2 of 5 items failed" in str(failure)


@locally
def test_a_resumed_run_executes_the_failed_items_of_a_produced_list(rig: BackendRig) -> None:
    failed = rig.pipeline("maps:produced_finish").submit(backend=rig.backend)
    assert not failed.wait().success
    allow(rig)
    before = len(rig.ran())
    result = failed.resume().wait()
    assert result["total"] == sum(i * i / 2 for i in range(1, 6))
    assert ran_since(rig, before) == ["add", "halve 16", "halve 9", "square 3", "square 4"]


@locally
def test_a_mapped_value_that_is_not_a_list_fails_the_step_that_produces_it(
    rig: BackendRig,
) -> None:
    (failure,) = failures(run(rig, "produced_finish", numbers="abc").status)
    assert "step 'listed': ListMismatchError: 'shards' is a str, not a list" in str(failure)


@locally
@pytest.mark.parametrize("spoiled", ["index", "items"])
def test_a_produced_list_of_which_something_is_lost_is_produced_again(
    rig: BackendRig, spoiled: str
) -> None:
    result = run(rig, "damaged", spoiled=spoiled)
    assert result.success, result.summary()
    assert result["squared"] == [1, 4, 25]
    assert Counter(rig.ran()) == {"list": 2, "square 1": 1, "square 2": 1, "square 5": 1}
