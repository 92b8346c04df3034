"""A step of a run, executed again in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws import Pipeline, dynamic, step
from flowyml_aws.artifacts.overlay import OverlayStore
from flowyml_aws.core.step_log import log_metric
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.runtime.attempt import Attempt
from flowyml_aws.runtime.payload import Payload
from flowyml_aws.runtime.replay import Replayed, recorded_sources, replay_step, spec_of_replay
from flowyml_aws.runtime.result import AttemptEvents, StepReport, StepState
from flowyml_aws.runtime.spec import AssetSource, GatheredAsset
from tests.runtime.harness import WrittenRun

RAN: list[str] = []
FAILS: set[str] = set()


@pytest.fixture(autouse=True)
def reset() -> None:
    RAN.clear()
    FAILS.clear()


def record(name: str) -> None:
    RAN.append(name)
    if name in FAILS:
        raise RuntimeError(f"{name} is bad")


@step(inputs=["given"], outputs=["stored"], execution_group="g", cache="code_hash")
def first(given):
    record("first")
    return given + 1


@step(inputs=["stored"], outputs=["passed"], execution_group="g")
def second(stored):
    record("second")
    return lambda: stored * 10  # can't be stored


@step(inputs=["passed"], outputs=["last"], execution_group="g", retry=2, retry_delay=0, timeout=60)
def third(passed, plus: int = 4):
    record("third")
    log_metric("loss", 0.5)
    return passed() + plus


@step(inputs=["given"], outputs=["waited"], execution_group="g")
async def waiting(given):
    record("waiting")
    return given


def finished(tmp_path: Path, *steps: Any) -> WrittenRun:
    """Return a run whose job has committed a result."""
    run = WrittenRun(tmp_path, *steps, inputs={"given": 1})
    runner = run.runner()
    runner.attempt.commit("succeeded" if runner.run() else "failed")
    RAN.clear()
    return run


def replay(run: WrittenRun, name: str, around: Callable[..., Any] = lambda f: f) -> Replayed:
    store = OverlayStore(run.store, DirectoryArtifactStore(run.folder / "upper"))
    spec = spec_of_replay(run.spec(), name, recorded_sources(run.result()))
    attempt = Attempt.begin(spec, store, 1)
    payload = Payload(run.steps, run.context)
    return replay_step(attempt, payload, (), run.folder / "replayed", around)


def test_a_step_gets_its_recorded_inputs_and_the_run_does_not_change(tmp_path: Path) -> None:
    run = finished(tmp_path, first, second, third)
    before = {entry.key: entry for entry in run.store.walk("")}
    replayed = replay(run, "first")
    assert (RAN, replayed.before, replayed.outputs) == (["first"], (), {"stored": 2})
    assert replayed.refs["stored"].identity == run.result().assets["stored"].identity
    assert {entry.key: entry for entry in run.store.walk("")} == before


def test_steps_whose_values_are_not_stored_are_executed_before_it(tmp_path: Path) -> None:
    run = finished(tmp_path, first, second, third)
    replayed = replay(run, "third")
    assert RAN == ["second", "third"]
    assert (replayed.before, replayed.outputs) == (("second",), {"last": 24})


def test_a_replay_has_no_timeouts(tmp_path: Path) -> None:
    run = finished(tmp_path, first, second, third)
    assert run.spec().steps[-1].timeout_s == 60
    replayed = spec_of_replay(run.spec(), "third", recorded_sources(run.result()))
    assert [each.timeout_s for each in replayed.steps] == [None, None]


def test_a_failure_is_not_retried_and_keeps_its_traceback(tmp_path: Path) -> None:
    FAILS.add("third")
    run = finished(tmp_path, first, second, third)
    replayed = replay(run, "third")
    assert RAN == ["second", "third"]
    assert replayed.report.state is StepState.FAILED
    assert (replayed.outputs, replayed.refs) == ({}, {})
    assert replayed.error is not None and replayed.error.__traceback__ is not None
    assert str(replayed.error) == "third is bad"
    FAILS.clear()
    assert replay(run, "third").outputs == {"last": 24}


def test_a_failure_before_the_step_is_that_of_the_replay(tmp_path: Path) -> None:
    run = finished(tmp_path, first, second, third)
    FAILS.add("second")
    replayed = replay(run, "third")
    assert (RAN, str(replayed.error)) == (["second"], "second is bad")
    assert replayed.report.state is StepState.WAITING


@dynamic(inputs=["given"], outputs=["one", "two"])
def returning(given):
    record("returning")
    return Pipeline("returned").add_step(waiting)


def test_a_dynamic_step_is_called_and_its_pipeline_is_not_run(tmp_path: Path) -> None:
    run = WrittenRun(tmp_path, returning, inputs={"given": 1})
    store = OverlayStore(run.store, DirectoryArtifactStore(run.folder / "upper"))
    attempt = Attempt.begin(spec_of_replay(run.spec(), "returning", {}), store, 1)
    payload = Payload(run.steps, run.context)
    replayed = replay_step(attempt, payload, (), run.folder / "replayed")
    assert (RAN, replayed.report.state) == (["returning"], StepState.SUCCEEDED)
    assert (replayed.outputs, replayed.refs, replayed.error) == ({}, {}, None)


def test_a_coroutine_is_awaited(tmp_path: Path) -> None:
    run = finished(tmp_path, waiting)
    assert replay(run, "waiting").outputs == {"waited": 1}
    FAILS.add("waiting")
    assert str(replay(run, "waiting").error) == "waiting is bad"


def test_another_function_can_be_called_in_place_of_the_last_one(tmp_path: Path) -> None:
    run = finished(tmp_path, first, second, third)
    assert replay(run, "first", lambda function: lambda given: -function(given)).outputs == {
        "stored": -2
    }


def test_the_items_of_a_list_that_were_not_recorded_are_executed(tmp_path: Path) -> None:
    base = WrittenRun(tmp_path, first, second, third, inputs={"given": 1}).spec()
    one, two, reader = base.steps
    items = [
        each.model_copy(update={"name": f"item[{n}]", "reads": (), "outputs": (f"x[{n}]",)})
        for n, each in enumerate((one, two))
    ]
    reader = reader.model_copy(update={"reads": ("x",)})
    gathered = {"x": GatheredAsset(items=("x[0]", "x[1]"))}
    spec = base.model_copy(update={"steps": (*items, reader), "gathered": gathered})
    recorded = {"x[0]": AssetSource(absent="skipped"), "last": AssetSource(absent="old")}
    made = spec_of_replay(spec, "third", recorded)
    assert [each.name for each in made.steps] == ["item[1]", "third"]
    assert made.assets["x[0]"].absent == "skipped"
    assert "last" not in made.assets


def test_the_events_of_a_lost_attempt_have_its_values() -> None:
    report = StepReport(name="choose", state=StepState.SUCCEEDED, case="a")
    events = AttemptEvents(attempt=1, steps=(report,), assets={})
    assert recorded_sources(events) == recorded_sources(None) == {}
