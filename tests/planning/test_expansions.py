from __future__ import annotations

from typing import Any

import pytest

from flowyml_aws import Pipeline, dynamic, step
from flowyml_aws.artifacts.documents import read_document
from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.planning.expansion_facts import CatalogFacts, ExpansionFacts
from flowyml_aws.planning.expansions import refusal, unlimited_expansions
from flowyml_aws.planning.limits import Limits
from flowyml_aws.planning.longest_path import longest_path_s
from flowyml_aws.planning.plan import Estimate, ExecutionPlan
from flowyml_aws.planning.targets import Target, offline_targets
from tests.support.plans import a_job, a_plan

CATALOG = CatalogFacts.of(load_catalog())


@dynamic(outputs=["model"], max_depth=2)
def search() -> None: ...


@step(inputs=["model"])
def report(model: int) -> int:
    return model


@step(after=["search"])
def clean() -> None: ...


@step(inputs=["report"])
def publish(report: int) -> int:
    return report


def facts(**changes: Any) -> ExpansionFacts:
    members: dict[str, Any] = {
        "rest": "batch",
        "targets": (Target("cpu", "batch", ("m6i.large",)),),
        "catalog": CATALOG,
    }
    return ExpansionFacts(**{**members, **changes})


def costing(expected_usd: float | None, *targets: str) -> ExecutionPlan:
    jobs = [a_job(f"job-{target}", target=target) for target in targets or ["cpu"]]
    estimate = Estimate(
        runs=1, startup_s=60, cost_usd=expected_usd, wall_s=1.0, unknown=(), variants=()
    )
    return a_plan(*jobs).model_copy(update={"pipeline": "sub", "estimate": estimate})


def test_jobs_wait_for_the_pipelines_that_their_steps_wait_for() -> None:
    plan = Pipeline("p").add_steps([search, report, clean, publish]).plan(backend="local")
    waiting = {job.name: job.expansions for job in plan.jobs}
    assert waiting == {"search": (), "report": ("search",), "clean": ("search",), "publish": ()}
    assert plan.dynamic == {"search": 2}
    assert plan.has_late_jobs
    assert not plan.has_held_jobs


def test_a_plan_says_what_waits_for_a_dynamic_step() -> None:
    plan = Pipeline("p").add_steps([search, report, clean]).plan(backend="local")
    note = next(note for note in plan.notes if note.startswith("'search' can return a pipeline"))
    assert "report, clean will wait for it" in note
    assert note.endswith("pipelines inside one another: at most 2")


def test_a_driver_of_dynamic_steps_has_no_known_time_limit() -> None:
    plan = Pipeline("p").add_steps([search, report]).plan(backend="local")
    assert longest_path_s(plan, {"search": 60, "report": 60}) is None


def test_dynamic_steps_need_a_cost_limit_if_jobs_cost_something() -> None:
    plan = a_plan(a_job("search")).model_copy(update={"dynamic": {"search": 3}})
    (problem,) = unlimited_expansions(plan, Limits())
    assert "has dynamic steps and no max_cost_usd: 'search'" in problem.what
    assert unlimited_expansions(plan, Limits(cost_usd=1)) == []
    assert unlimited_expansions(plan.model_copy(update={"prices_of": None}), Limits()) == []
    assert unlimited_expansions(a_plan(a_job("other")), Limits()) == []


@pytest.mark.parametrize(
    ("expected_usd", "spent_usd", "is_refused"),
    [(2.0, 3.0, False), (2.0, 3.01, True), (None, 4.99, False), (None, 5.0, True)],
)
def test_a_pipeline_starts_if_what_it_costs_is_left(
    expected_usd: float | None, spent_usd: float, is_refused: bool
) -> None:
    reason = refusal("run-1", costing(expected_usd), facts(), 5.0, spent_usd)
    assert (reason is not None) is is_refused


def test_a_refusal_names_the_costs_and_how_to_continue() -> None:
    assert refusal("run-1", costing(2.0), facts(), 5.0, 4.0) == (
        "pipeline 'sub' is not started: $4.00 counted so far and $2.00 expected for its 1 jobs "
        "exceed max_cost_usd $5.00; continue with `flowyml-aws resume run-1 --max-cost-usd USD`"
    )


def test_a_pipeline_without_a_limit_starts() -> None:
    assert refusal("run-1", costing(1e6), facts(), None, 0.0) is None


def test_a_pipeline_on_targets_that_the_run_does_not_use_is_refused() -> None:
    reason = refusal("run-1", costing(None, "cpu", "other"), facts(), None, 0.0)
    assert reason == "pipeline 'sub' is not started: the run does not use other"


def test_a_pipeline_on_another_service_is_refused() -> None:
    reason = refusal("run-1", costing(None), facts(rest="sagemaker"), None, 0.0)
    assert reason == "pipeline 'sub' is not started: the run does not use batch"


def test_a_pipeline_above_the_price_limit_is_refused() -> None:
    reason = refusal("run-1", costing(None), facts(max_price_usd_hour=0.05), None, 0.0)
    assert reason is not None
    assert "m6i.large costs $0.10 an hour, and max_price_usd_hour is 0.05" in reason


def test_facts_are_the_same_after_they_were_stored() -> None:
    before = facts(targets=offline_targets(load_catalog()), named={"g": "batch"})
    after = read_document(ExpansionFacts, before.to_json(), "facts")
    assert after == before
    assert after.catalog.catalog().types == load_catalog().types
