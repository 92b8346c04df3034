"""Approvals in a plan: the jobs before and after them, and the notes on them."""

from __future__ import annotations

from flowyml_aws import Step, approval, step
from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.core.binding import bind_steps
from flowyml_aws.core.build import build_pipeline
from flowyml_aws.planning.approvals import jobs_after
from flowyml_aws.planning.make import make_plan
from flowyml_aws.planning.placement import Placement
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.planning.stored_plan import StoredPlan
from flowyml_aws.planning.targets import offline_targets
from flowyml_aws.report.outline import plan_outline
from flowyml_aws.view.mermaid import mermaid


def plan_of(*steps: Step, backend: str = "local") -> ExecutionPlan:
    pipeline, problems = build_pipeline(bind_steps(steps), ())
    assert pipeline is not None, problems
    catalog = load_catalog()
    graph, groups, targets = pipeline.graph, pipeline.groups, offline_targets(catalog)
    return make_plan("p", Placement(backend), graph, groups, targets, catalog)


@step(outputs=["model"], execution_group="g")
def train() -> int:
    return 1


@step(inputs=["release"], execution_group="g")
def deploy(release: int) -> int:
    return release


@step(inputs=["deploy"])
def announce(deploy: int) -> int:
    return deploy


RELEASE = approval("release", inputs=["model"], timeout="12h", approver="ml-team")


def test_a_plan_has_no_job_for_an_approval() -> None:
    plan = plan_of(train, RELEASE, deploy, announce)
    assert [(job.name, job.after, job.approvals) for job in plan.jobs] == [
        ("g_0", (), ()),
        ("g_1", ("g_0",), ("release",)),
        ("announce", ("g_1",), ()),
    ]
    planned = plan.approvals["release"]
    assert (planned.after, planned.inputs) == (("g_0",), ("model",))
    assert (planned.timeout_s, planned.approver) == (12 * 3600, "ml-team")
    assert [job.name for job in jobs_after(plan, "release")] == ["g_1", "announce"]


def test_the_notes_say_what_waits_and_which_group_is_split() -> None:
    plan = plan_of(train, RELEASE, deploy, announce)
    assert plan.notes[:2] == (
        "g_1, announce will wait for approval 'release' by ml-team, up to 12 h 00 min; no instance "
        "runs only to wait",
        "group 'g' has several jobs, because approval 'release' is between its steps 'train' and "
        "'deploy'",
    )


def test_the_notes_have_the_price_of_the_jobs_after_an_approval() -> None:
    plan = plan_of(train, RELEASE, deploy, announce, backend="batch")
    price = 2 * (plan.jobs[0].price_usd_hour or 0)
    assert plan.notes[0].endswith(f". After it: ${price:.4f} per hour if all jobs run at once")


def test_a_picture_of_the_plan_names_the_approval() -> None:
    picture = mermaid(plan_of(train, RELEASE, deploy, announce))
    assert '["g_1, after approval release"]' in picture
    (node,) = (
        each
        for each in plan_outline(plan_of(train, RELEASE, deploy), {"g_0": "", "g_1": ""})
        if each.title == "g_1"
    )
    assert node.lines[0] == "after approval release"


def test_a_value_that_somebody_looks_at_is_stored() -> None:
    @step(inputs=["model"], outputs=["metrics"], execution_group="g")
    def evaluate(model: int) -> int:
        return model

    @step(inputs=["metrics"], execution_group="g")
    def summarize(metrics: int) -> int:
        return metrics

    last = step(name="last", after=["release"])(lambda: 1)
    release = approval("release", inputs=["metrics"])
    plan = plan_of(train, evaluate, summarize, release, last)
    assert "metrics" in plan.jobs[0].stored
    assert "model" not in plan.jobs[0].stored


def test_a_chain_of_approvals_is_planned_in_order() -> None:
    second = approval("second", inputs=["release"])
    last = step(name="last", after=["second"])(lambda: 1)
    plan = plan_of(train, RELEASE, second, last)
    assert plan.jobs[-1].approvals == ("second",)
    assert plan.approvals["second"].approvals == ("release",)
    assert [job.name for job in jobs_after(plan, "release")] == ["last"]


def test_a_stored_plan_keeps_its_approvals() -> None:
    plan = plan_of(train, RELEASE, deploy, announce)
    stored = StoredPlan.model_validate_json(StoredPlan.of(plan).to_json(), context={})
    assert stored.plan == plan


def test_a_plan_without_approvals_is_stored_as_before() -> None:
    stored = StoredPlan.of(plan_of(train)).to_json()
    assert b"approvals" not in stored
