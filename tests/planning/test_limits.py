"""Limits on what a plan may cost."""

from __future__ import annotations

import pytest

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.planning.limits import Limits, over_limits
from flowyml_aws.planning.plan import Estimate, ExecutionPlan
from tests.support.plans import a_job, a_plan


def told(plan: ExecutionPlan, **limits: float) -> list[str]:
    return [str(problem) for problem in over_limits(plan, Limits(**limits))]


def expecting(plan: ExecutionPlan, cost_usd: float | None) -> ExecutionPlan:
    estimate = Estimate(
        runs=1, startup_s=180, cost_usd=cost_usd, wall_s=10, unknown=(), variants=()
    )
    return plan.model_copy(update={"estimate": estimate})


def test_without_limits_nothing_is_too_dear() -> None:
    assert told(a_plan(a_job("train", price_usd_hour=100.0))) == []


def test_an_instance_above_the_price_is_refused_by_its_job() -> None:
    plan = a_plan(a_job("cheap", price_usd_hour=0.5), a_job("dear", price_usd_hour=2.0))
    (problem,) = told(plan, price_usd_hour=1.0)
    assert "Job 'dear': m6i.large costs $2 an hour" in problem
    assert "--explain dear" in problem


def test_a_price_at_the_limit_is_allowed() -> None:
    assert told(a_plan(a_job("train", price_usd_hour=1.0)), price_usd_hour=1.0) == []


def test_an_unknown_price_can_not_be_held_against_a_limit() -> None:
    (problem,) = told(a_plan(a_job("train", price_usd_hour=None)), price_usd_hour=1.0)
    assert "has no known price" in problem


def test_a_run_expected_to_cost_more_is_refused() -> None:
    plan = expecting(a_plan(a_job("train")), 3.0)
    (problem,) = told(plan, cost_usd=2.0)
    assert "expected to cost $3" in problem
    assert told(plan, cost_usd=3.0) == []


def test_where_nothing_tells_the_cost_a_run_is_refused_with_the_way_out() -> None:
    (problem,) = told(a_plan(a_job("train")), cost_usd=2.0)
    assert "give the steps a timeout" in problem


def test_timeouts_bound_a_run_that_was_never_made() -> None:
    plan = a_plan(a_job("train", price_usd_hour=1.0, timeout_s=3420))
    assert told(plan, cost_usd=1.0) == []
    (problem,) = told(plan, cost_usd=0.5)
    assert "can cost up to $1" in problem


def test_on_this_machine_nothing_is_too_dear() -> None:
    plan = a_plan(a_job("train", price_usd_hour=None)).model_copy(update={"backend": "local"})
    assert told(plan, price_usd_hour=0.1, cost_usd=0.1) == []


def test_a_limit_of_nothing_refuses_what_costs_something() -> None:
    plan = expecting(a_plan(a_job("train", price_usd_hour=0.1)), 0.01)
    assert len(told(plan, price_usd_hour=0, cost_usd=0)) == 2


@pytest.mark.parametrize("limit", [-1.0, float("nan"), float("inf"), "5"])
@pytest.mark.parametrize("name", ["price_usd_hour", "cost_usd"])
def test_what_is_no_amount_is_no_limit(name: str, limit: float) -> None:
    with pytest.raises(SettingsError, match=f"max_{name}="):
        Limits(**{name: limit})


def test_a_known_job_counts_with_its_cost_and_one_that_never_ran_with_its_timeout() -> None:
    known = a_job("known", price_usd_hour=100.0, expected_cost_usd=0.25, expected_s=9.0)
    never = a_job("never", price_usd_hour=1.0, timeout_s=3420)
    plan = expecting(a_plan(known, never), None)
    assert told(plan, cost_usd=1.25) == []
    (problem,) = told(plan, cost_usd=1.2)
    assert "can cost up to $1.25" in problem
