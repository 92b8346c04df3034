"""Limits on the cost of a plan."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from flowyml_aws.core.amounts import usd
from flowyml_aws.core.errors import FlowymlError, PlanOverBudgetError, SettingsError
from flowyml_aws.planning.cost_shares import highest_cost_usd
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob

__all__ = ["Limits", "over_limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on the cost of a run; None for no limit.

    Attributes:
        price_usd_hour: Maximum price of a job on any instance type that it may start on, of all
            its nodes together.
        cost_usd: Maximum cost of the whole run: its expected time at the highest prices.
    """

    price_usd_hour: float | None = None
    cost_usd: float | None = None

    def __post_init__(self) -> None:
        _check("max_price_usd_hour", self.price_usd_hour)
        _check("max_cost_usd", self.cost_usd)


def over_limits(plan: ExecutionPlan, limits: Limits) -> list[FlowymlError]:
    """Return an error for each limit that a plan exceeds. A plan of unknown cost is rejected, too.

    The cost of a job that never ran is bounded by its timeout if each of its steps has one. Runs
    on this machine cost nothing.
    """
    if not plan.is_priced:
        return []
    return [
        *_price_violations(plan, limits.price_usd_hour),
        *_cost_violations(plan, limits.cost_usd),
    ]


def _check(name: str, limit: object) -> None:
    if limit is None or (isinstance(limit, int | float) and 0 <= limit < math.inf):
        return
    raise SettingsError(
        what=f"Invalid limit {name}={limit!r}",
        why="it must be a number of US dollars, 0 or more",  # no cost exceeds NaN
        fix="write a number, or omit it for no limit",
    )


def _price_violations(plan: ExecutionPlan, limit: float | None) -> Iterator[FlowymlError]:
    if limit is None:
        return
    for job in plan.jobs:
        price = job.highest_price_usd_hour
        if price is not None and price <= limit:
            continue
        price_text = "has no known price" if price is None else f"costs {usd(price)} an hour"
        what = f"Job {job.name!r}: {job.highest_machines} {price_text}"
        why = f"max_price_usd_hour is {limit:g}"
        if job.price_usd_hour is not None and job.price_usd_hour <= limit:
            yield PlanOverBudgetError(
                what=what,
                why=f"{why}, and queue {job.target!r} may start this type instead of "
                f"{job.machines}, which costs {usd(job.price_usd_hour)}",
                fix="list fewer sizes in the queue's compute environments (`sizes` of its family "
                "in infra/), or raise the limit",
            )
        else:
            yield PlanOverBudgetError(
                what=what,
                why=why,
                fix=f"request less (`flowyml-aws plan FILE --backend {job.backend} --explain "
                f"{job.name}` shows what costs less), or raise the limit",
            )


def _cost_violations(plan: ExecutionPlan, limit: float | None) -> Iterator[FlowymlError]:
    if limit is None:
        return
    expected = plan.estimate.cost_usd if plan.estimate else None
    if expected is not None:
        if expected > limit:
            yield PlanOverBudgetError(
                what=f"The run of {plan.pipeline!r} is expected to cost {usd(expected)}",
                why=f"max_cost_usd is {limit:g}",
                fix="use the plan's cheapest split, request less, or raise the limit",
            )
            return
        extra = [_extra_usd(job) for job in plan.jobs]
        highest = None if None in extra else expected + sum(filter(None, extra))
        if highest is None or highest > limit:
            amount = "an unknown amount" if highest is None else f"up to {usd(highest)}"
            yield PlanOverBudgetError(
                what=f"The run of {plan.pipeline!r} can cost {amount}, and {usd(expected)} on the "
                "planned instance types",
                why=f"max_cost_usd is {limit:g}, and its queues may start more expensive types",
                fix="list fewer sizes in the queues' compute environments (`sizes` of a family in "
                "infra/), or raise the limit",
            )
        return
    bounds = {job.name: highest_cost_usd(job) for job in plan.jobs}
    unbounded = [name for name, bound in bounds.items() if bound is None]
    if unbounded:
        yield PlanOverBudgetError(
            what=f"The cost of the run of {plan.pipeline!r} is unknown",
            why=f"max_cost_usd is {limit:g}, and neither an earlier run nor timeouts with a known "
            f"price bound the cost of {', '.join(map(repr, unbounded))}",
            fix="give the steps a timeout"
            if plan.dynamic
            else "give the steps a timeout, or run it once without max_cost_usd",
        )
        return
    most = sum(bound for bound in bounds.values() if bound is not None)
    if most > limit:
        yield PlanOverBudgetError(
            what=f"The run of {plan.pipeline!r} can cost up to {usd(most)}, given its timeouts",
            why=f"max_cost_usd is {limit:g}, and no earlier run shows the actual cost",
            fix="shorten the timeouts, or raise the limit"
            if plan.dynamic
            else "shorten the timeouts, or run it once without max_cost_usd",
        )


def _extra_usd(job: PlannedJob) -> float | None:
    """Return what a job's expected time costs more on the most expensive type; None if unknown."""
    highest, planned = job.highest_price_usd_hour, job.price_usd_hour
    if highest == planned:
        return 0.0
    if highest is None or planned is None or job.expected_s is None:
        return None
    return (highest - planned) * job.expected_s / 3600
