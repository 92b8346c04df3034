"""Runs with branches on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowyml_aws import If, Pipeline, Run, Step, step
from flowyml_aws.cli.load import load_pipeline
from flowyml_aws.runtime.result import StepState
from flowyml_aws.submission.compare import Kind
from tests.support.rigs import BackendRig


@step(outputs=["accuracy"])
def evaluate() -> float:
    return 0.9


@step(inputs=["accuracy"])
def deploy(accuracy: float) -> str:
    return "deployed"


@step
def double(row: int) -> int:
    return 2 * row


@step(inputs=["deploy", "double"])
def report(deploy: str | None = None, double: list[int] | None = None) -> object:
    return deploy or double


def pipeline(limit: float) -> Pipeline:
    retrain: Step = double.map(over="rows")
    flow = If(lambda ctx: ctx.steps["evaluate"].outputs["accuracy"] > limit, deploy, retrain)
    made = Pipeline("branches", {"rows": [1, 2]}).add_step(evaluate).add_control_flow(flow)
    return made.add_step(report)


@pytest.mark.contract
def test_a_run_takes_one_branch_and_the_next_run_reuses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = pipeline(0.95).run(progress=False)
    assert first.success
    assert (first["if:deploy"], first["report"]) == ("else", [2, 4])
    assert first.step_results["deploy"].skipped

    again = pipeline(0.95).run(progress=False)
    assert again.status.jobs == ()
    assert again["report"] == [2, 4]
    report = again.status.steps["deploy"]
    assert (report.state, report.reason) == (
        StepState.SKIPPED,
        "'if:deploy' chose 'else', not 'then'",
    )


@pytest.mark.contract
def test_a_reader_gets_the_asset_of_the_branch_that_was_taken(tmp_path: Path) -> None:
    rig = BackendRig("local", tmp_path / "project")
    rig.write("fitting")
    with rig.entered():
        fitting = load_pipeline("fitting.py")
        first = fitting.run(progress=False)
        other, again = (fitting.run(progress=False, context={"limit": 0.95}) for _ in range(2))
        compared = Run.attach(first.run_id).compare(other.run_id).differences
    assert first["judge"] == "large 0.9 of size 5"
    assert (first["model"], "model:large" in list(first.outputs)) == ("large 0.9", False)
    assert (other["judge"], other["size"]) == ("small 0.9 of size 3", 3)
    assert again.status.jobs == ()
    assert (again["judge"], again["model"]) == ("small 0.9 of size 3", "small 0.9")
    names = [each.name for each in compared if each.kind is Kind.OUTPUT]
    assert sorted(names) == ["if:large", "judge", "model", "size"]
