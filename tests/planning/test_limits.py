"""Limits on the cost of a plan."""

from __future__ import annotations

import pytest

from flowyml_aws.core.branches import Branch
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.planning.limits import Limits, over_limits
from flowyml_aws.planning.plan import Estimate, ExecutionPlan, InstanceOffer
from tests.support.plans import a_job, a_plan


def problems_of(plan: ExecutionPlan, **limits: float) -> list[str]:
    return [str(problem) for problem in over_limits(plan, Limits(**limits))]


def with_estimate(plan: ExecutionPlan, cost_usd: float | None) -> ExecutionPlan:
    estimate = Estimate(
        runs=1, startup_s=180, cost_usd=cost_usd, wall_s=10, unknown=(), variants=()
    )
    return plan.model_copy(update={"estimate": estimate})


def test_without_limits_no_plan_is_rejected() -> None:
    assert problems_of(a_plan(a_job("train", price_usd_hour=100.0))) == []


def test_an_instance_above_the_maximum_price_is_rejected_with_its_job() -> None:
    plan = a_plan(a_job("cheap", price_usd_hour=0.5), a_job("costly", price_usd_hour=2.0))
    (problem,) = problems_of(plan, price_usd_hour=1.0)
    assert "Job 'costly': m6i.large costs $2.00 an hour" in problem
    assert "--explain costly" in problem


def test_a_price_at_the_limit_is_allowed() -> None:
    assert problems_of(a_plan(a_job("train", price_usd_hour=1.0)), price_usd_hour=1.0) == []


def test_an_unknown_price_is_rejected() -> None:
    (problem,) = problems_of(a_plan(a_job("train", price_usd_hour=None)), price_usd_hour=1.0)
    assert "has no known price" in problem


def test_a_run_expected_to_cost_more_is_rejected() -> None:
    plan = with_estimate(a_plan(a_job("train")), 3.0)
    (problem,) = problems_of(plan, cost_usd=2.0)
    assert "expected to cost $3" in problem
    assert problems_of(plan, cost_usd=3.0) == []


def test_a_run_of_unknown_cost_is_rejected_with_a_fix() -> None:
    (problem,) = problems_of(a_plan(a_job("train")), cost_usd=2.0)
    assert "give the steps a timeout" in problem


def test_timeouts_bound_the_cost_without_earlier_runs() -> None:
    plan = a_plan(a_job("train", price_usd_hour=1.0, timeout_s=3420))
    assert problems_of(plan, cost_usd=1.0) == []
    (problem,) = problems_of(plan, cost_usd=0.5)
    assert "can cost up to $1" in problem


def test_branches_of_one_decision_do_not_exceed_a_limit_together() -> None:
    then, otherwise = (Branch("d", "then"),), (Branch("d", "else"),)
    first = a_job("first", price_usd_hour=1.0, timeout_s=3420, cases=then)
    plan = a_plan(first, a_job("second", price_usd_hour=1.0, timeout_s=3420, cases=otherwise))
    assert problems_of(plan, cost_usd=1.0) == []


def test_on_this_machine_no_plan_is_rejected() -> None:
    plan = a_plan(a_job("train", price_usd_hour=None)).model_copy(
        update={"backend": "local", "prices_of": None}
    )
    assert problems_of(plan, price_usd_hour=0.1, cost_usd=0.1) == []


def test_a_limit_of_zero_rejects_every_cost() -> None:
    plan = with_estimate(a_plan(a_job("train", price_usd_hour=0.1)), 0.01)
    assert len(problems_of(plan, price_usd_hour=0, cost_usd=0)) == 2


@pytest.mark.parametrize("limit", [-1.0, float("nan"), float("inf"), "5"])
@pytest.mark.parametrize("name", ["price_usd_hour", "cost_usd"])
def test_an_invalid_amount_is_an_error(name: str, limit: float) -> None:
    with pytest.raises(SettingsError, match=f"max_{name}="):
        Limits(**{name: limit})


def test_known_jobs_count_with_their_cost_and_others_with_their_timeout() -> None:
    known = a_job("known", price_usd_hour=100.0, expected_cost_usd=0.25, expected_s=9.0)
    never = a_job("never", price_usd_hour=1.0, timeout_s=3420)
    plan = with_estimate(a_plan(known, never), None)
    assert problems_of(plan, cost_usd=1.25) == []
    (problem,) = problems_of(plan, cost_usd=1.2)
    assert "can cost up to $1.25" in problem


def on_a_queue(**members: object) -> ExecutionPlan:
    """Return a plan whose job is planned at $1 an hour, and may start at $4."""
    highest = InstanceOffer(instance_type="m6i.2xlarge", price_usd_hour=4.0)
    job = a_job("train", price_usd_hour=1.0)
    return a_plan(job.model_copy(update={"highest": highest, **members}))


def test_the_maximum_price_holds_for_every_type_that_the_queue_may_start() -> None:
    assert problems_of(on_a_queue(), price_usd_hour=4.0) == []
    (problem,) = problems_of(on_a_queue(), price_usd_hour=2.0)
    assert "Job 'train': m6i.2xlarge costs $4.00 an hour" in problem
    assert "instead of m6i.large, which costs $1" in problem
    assert "list fewer sizes" in problem


def test_a_planned_type_above_the_maximum_price_is_not_blamed_on_the_queue() -> None:
    (problem,) = problems_of(on_a_queue(), price_usd_hour=0.5)
    assert "request less" in problem


def test_a_type_of_unknown_price_that_the_queue_may_start_is_rejected() -> None:
    unknown = InstanceOffer(instance_type="x9.large", price_usd_hour=None, price_basis="unknown")
    (problem,) = problems_of(on_a_queue(highest=unknown), price_usd_hour=2.0)
    assert "x9.large has no known price" in problem
    plan = on_a_queue(highest=unknown, expected_s=3600.0, expected_cost_usd=1.0)
    (problem,) = problems_of(with_estimate(plan, 1.0), cost_usd=2.0)
    assert "can cost an unknown amount" in problem


def test_the_maximum_cost_holds_at_the_highest_prices() -> None:
    job = {"expected_s": 3600.0, "expected_cost_usd": 1.0}
    plan = with_estimate(on_a_queue(**job), 1.0)
    assert problems_of(plan, cost_usd=4.0) == []
    (problem,) = problems_of(plan, cost_usd=2.0)
    assert "can cost up to $4.00, and $1.00 on the planned instance types" in problem


def test_timeouts_bound_the_cost_at_the_highest_price() -> None:
    plan = on_a_queue(timeout_s=3420)
    assert problems_of(plan, cost_usd=4.0) == []
    (problem,) = problems_of(plan, cost_usd=3.0)
    assert "can cost up to $4.00, given its timeouts" in problem
