"""Branches in plans: jobs that run if taken, and steps that are skipped for certain."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from flowyml_aws import If, Pipeline, step
from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.core.binding import bind_steps
from flowyml_aws.core.build import build_pipeline
from flowyml_aws.planning.make import make_plan
from flowyml_aws.planning.placement import Placement
from flowyml_aws.planning.plan import Estimate, ExecutionPlan, ReusedStep
from flowyml_aws.report.outline import plan_outline
from flowyml_aws.runtime.result import StepState
from flowyml_aws.submission.status import RunStatus
from flowyml_aws.view.mermaid import mermaid
from flowyml_aws.view.plan import plan_table
from tests.support.plans import a_job, a_plan

SKIPPED = "'if:deploy' chose 'then', not 'else'"


@pytest.fixture(scope="module")
def plan() -> ExecutionPlan:
    @step
    def evaluate() -> float:
        return 0.9

    @step
    def deploy() -> None: ...

    @step
    def retrain() -> None: ...

    @step(inputs=["deploy"])
    def announce(deploy: None) -> None: ...

    pipeline = Pipeline("p").add_step(evaluate)
    pipeline.add_control_flow(If(lambda evaluate: evaluate > 0.5, deploy, retrain))
    built, problems = build_pipeline(bind_steps(pipeline.add_step(announce).all_steps), ())
    assert built is not None
    assert problems == []
    return make_plan("p", Placement("local"), built.graph, built.groups, (), load_catalog())


def text_of(plan: ExecutionPlan) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(plan_table(plan))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_plan_says_in_which_case_a_job_runs(plan: ExecutionPlan) -> None:
    taken = {job.name: job.taken_text for job in plan.jobs}
    assert taken == {
        "evaluate": "",
        "deploy": "if:deploy is then",
        "retrain": "if:deploy is else",
        "announce": "if:deploy",
    }
    text = text_of(plan)
    assert "deploy, if taken" in text
    assert "  if taken: if:deploy is then\n" in text
    assert plan._sheets()[0].rows[2][-1] == "if:deploy is else"


def test_pictures_of_a_plan_show_the_cases(plan: ExecutionPlan) -> None:
    drawn = mermaid(plan)
    assert 'subgraph job1["deploy, if taken"]' in drawn
    assert 'job0 -->|"if:deploy is else"| job2' in drawn
    nodes = {node.title: node for node in plan_outline(plan, {job.name: "" for job in plan.jobs})}
    assert nodes["retrain"].lines[0] == "if taken"
    assert nodes["retrain"].after == {"job evaluate": ("if:deploy is else",)}


def test_the_expected_cost_of_a_plan_with_branches_is_an_upper_bound(plan: ExecutionPlan) -> None:
    estimate = Estimate(runs=1, startup_s=1, cost_usd=1.5, wall_s=9, unknown=(), variants=())
    text = text_of(plan.model_copy(update={"estimate": estimate}))
    assert "expected at most: $1.50, 9.0 s" in text


def test_steps_that_are_skipped_for_certain_are_listed_with_the_reason(plan: ExecutionPlan) -> None:
    reused = {
        "deploy": ReusedStep(produces=("deploy",), run_id="p-1"),
        "retrain": ReusedStep(produces=("retrain",), skipped={"retrain": SKIPPED}),
    }
    known = plan.model_copy(update={"reused": reused, "jobs": ()})
    text = text_of(known)
    assert "cached, not run: deploy (from run p-1)" in text
    assert f"skipped: retrain ({SKIPPED})" in text
    assert known.absent == {"retrain": SKIPPED}
    assert known._sheets()[0].lines[:2] == ("skipped: retrain", "cached, not run: deploy")
    report = RunStatus("p-2", "p", "local", 0.0, reused=reused).steps["retrain"]
    assert (report.state, report.reason) == (StepState.SKIPPED, SKIPPED)


def test_assets_of_reused_and_of_skipped_steps_are_no_external_inputs() -> None:
    reused = {
        "fit": ReusedStep(produces=("model",), run_id="p-1"),
        "retrain": ReusedStep(produces=("other",), skipped={"other": SKIPPED}),
        "clean[0]": ReusedStep(produces=("rows[0]",), run_id="p-1"),
        "clean[1]": ReusedStep(produces=("rows[1]",), run_id="p-2"),
    }
    names = ("seed", "model", "other", "rows[0]", "rows[1]")
    plan = a_plan(a_job("test", reads=dict.fromkeys(names)))
    plan = plan.model_copy(update={"reused": reused})
    text = text_of(plan)
    for read in ("seed (external input)", "model (from run p-1)", "other (skipped)"):
        assert read in text
    lines = {node.title: node.lines for node in plan_outline(plan, {"test": ""})}
    assert lines["seed"] == ("external input",)
    assert (lines["model"], lines["rows"]) == (("from run p-1",), ("from earlier runs",))
    drawn = mermaid(plan)
    assert 'input0(["seed"])' in drawn
    assert 'input1(["model, from run p-1"])' in drawn
