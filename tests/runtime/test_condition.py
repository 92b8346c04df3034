from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flowyml_aws import step
from flowyml_aws.runtime.result import StepState
from tests.runtime.harness import WrittenRun


def three_steps(condition: Any, *groups: str | None) -> list[Any]:
    """Return the steps `make` → `train`, with the condition → `report`."""
    seen: list[str] = []

    @step(outputs=["data"], execution_group=groups[0], name="make")
    def make() -> int:
        return 7

    @step(inputs=["data"], outputs=["model"], condition=condition, execution_group=groups[1])
    def train(data: int) -> str:
        seen.append("train")
        return f"model of {data}"

    @step(inputs=["model"], outputs=["report"], execution_group=groups[2])
    def report(model: str) -> str:
        seen.append("report")
        return f"report on {model}"

    return [make, train, report]


def run_all(run: WrittenRun) -> dict[str, StepState]:
    """Run all jobs in order, in this process."""
    states: dict[str, StepState] = {}
    for job in run.plan.jobs:
        runner = run.runner(job.name)
        assert runner.run(), runner.attempt.progress.reports
        runner.attempt.commit("succeeded")
        states.update((report.name, report.state) for report in run.result(job.name).steps)
    return states


GROUPED = [("g", "g", "g"), (None, None, None), ("g", "g", None), (None, "g", "g")]


@pytest.mark.parametrize("groups", GROUPED, ids=str)
def test_a_false_condition_skips_the_step_and_the_readers_of_its_assets(
    tmp_path: Path, groups: tuple[str | None, ...]
) -> None:
    run = WrittenRun(tmp_path, *three_steps(lambda data: data > 10, *groups))
    assert run_all(run) == {
        "make": StepState.SUCCEEDED,
        "train": StepState.SKIPPED,
        "report": StepState.SKIPPED,
    }


@pytest.mark.parametrize("groups", GROUPED, ids=str)
def test_a_true_condition_runs_the_step(tmp_path: Path, groups: tuple[str | None, ...]) -> None:
    run = WrittenRun(tmp_path, *three_steps(lambda data: data == 7, *groups))
    assert set(run_all(run).values()) == {StepState.SUCCEEDED}
    assert run.value("report", run.plan.jobs[-1].name) == "report on model of 7"


def test_a_result_lists_the_assets_that_its_own_steps_skipped(tmp_path: Path) -> None:
    run = WrittenRun(tmp_path, *three_steps(lambda: False, None, None, None))
    run_all(run)
    assert [run.result(job).skipped for job in ("make", "train", "report")] == [
        {},
        {"model": "the condition of step 'train' is false"},
        {"report": "the condition of step 'train' is false"},
    ]


def test_a_skipped_step_has_a_reason(tmp_path: Path) -> None:
    run = WrittenRun(tmp_path, *three_steps(lambda: False, None, "g", "g"))
    run_all(run)
    assert run.report("train", "g").reason == "its condition is false"
    assert run.report("report", "g").reason == (
        "'model' does not exist: the condition of step 'train' is false"
    )


def test_a_skip_in_another_job_names_its_condition(tmp_path: Path) -> None:
    run = WrittenRun(tmp_path, *three_steps(lambda: False, "a", "b", "c"))
    run_all(run)
    assert run.report("report", "c").reason == (
        "'model' does not exist: the condition of step 'train' is false"
    )


@pytest.mark.parametrize("grouped", [True, False])
def test_a_condition_gets_inputs_context_and_upstream_outputs_by_name(
    tmp_path: Path, grouped: bool
) -> None:
    group = "g" if grouped else None
    calls: list[tuple[Any, ...]] = []

    def wanted(data: int, threshold: float, score: float, other: str = "default") -> bool:
        calls.append((data, threshold, score, other))
        return score > threshold

    @step(outputs=["data"], execution_group=group)
    def make() -> int:
        return 1

    @step(inputs=["data"], outputs=["score"], execution_group=group)
    def measure(data: int) -> float:
        return 0.9

    @step(inputs=["data"], outputs=["out"], condition=wanted, execution_group=group)
    def publish(data: int) -> str:
        return "published"

    run = WrittenRun(tmp_path, make, measure, publish, context={"threshold": 0.5})
    assert run_all(run)["publish"] is StepState.SUCCEEDED
    assert calls == [(1, 0.5, 0.9, "default")]


def test_a_condition_that_raises_is_a_failure_with_its_traceback(tmp_path: Path) -> None:
    def wanted(data: int) -> bool:
        return data / 0 > 1  # the user's line

    run = WrittenRun(tmp_path, *three_steps(wanted, "g", "g", "g"))
    runner = run.runner()
    assert not runner.run()
    make, train, report = runner.attempt.progress.reports
    assert (make.state, train.state) == (StepState.SUCCEEDED, StepState.FAILED)
    assert report.state is StepState.WAITING
    assert train.failure is not None and train.failure.kind == "ZeroDivisionError"
    assert "return data / 0 > 1  # the user's line" in train.failure.text


def test_a_condition_whose_value_is_not_a_truth_value_is_a_failure(tmp_path: Path) -> None:
    class Ambiguous:
        def __bool__(self) -> bool:
            raise ValueError("ambiguous")

    runner = WrittenRun(tmp_path, *three_steps(lambda: Ambiguous(), "g", "g", "g")).runner()
    assert not runner.run()
    failure = runner.attempt.progress.reports[1].failure
    assert failure is not None and failure.message == "ambiguous"


def test_an_asset_is_not_loaded_for_a_step_that_is_skipped_anyway(tmp_path: Path) -> None:
    @step(outputs=["absent"], condition=lambda: False, execution_group="a")
    def never() -> int:
        return 1

    @step(outputs=["heavy"], execution_group="a")
    def heavy() -> str:
        return "heavy"

    @step(inputs=["heavy", "absent"], outputs=["end"], execution_group="b")
    def consume(heavy: str, absent: int) -> None:
        pass

    run = WrittenRun(tmp_path, never, heavy, consume)
    runner = run.runner("a")
    assert runner.run()
    result = runner.attempt.commit("succeeded")
    run.store.path(result.assets["heavy"].uri.removeprefix(f"{run.store.uri}/")).unlink()
    later = run.runner("b")
    assert later.run()
    assert list(later.attempt.skipped) == ["end"]
