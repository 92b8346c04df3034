"""Limits on what a plan may cost."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from flowyml_aws.core.errors import FlowymlError, PlanTooDearError, SettingsError
from flowyml_aws.planning.cost import STARTUP_S
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob

__all__ = ["Limits", "over_limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may cost; None where there is no limit.

    Attributes:
        price_usd_hour: Of the chosen instance type of each job.
        cost_usd: Expected, of the whole run.
    """

    price_usd_hour: float | None = None
    cost_usd: float | None = None

    def __post_init__(self) -> None:
        _check("max_price_usd_hour", self.price_usd_hour)
        _check("max_cost_usd", self.cost_usd)


def over_limits(plan: ExecutionPlan, limits: Limits) -> list[FlowymlError]:
    """Why a plan is too dear; what is unknown can't be held against a limit, and is refused.

    A job that never ran is bounded by its timeout, where each of its steps has one. Runs on this
    machine cost nothing.
    """
    if plan.backend == "local":
        return []
    return [*_dear_instances(plan, limits.price_usd_hour), *_dear_run(plan, limits.cost_usd)]


def _check(name: str, limit: object) -> None:
    if limit is None or (isinstance(limit, int | float) and 0 <= limit < math.inf):
        return
    raise SettingsError(
        what=f"{name}={limit!r} is no limit",
        why="it must be a number of US dollars, 0 or more",  # NaN, too: nothing is above it
        fix="write a number, or leave it out for none",
    )


def _dear_instances(plan: ExecutionPlan, limit: float | None) -> Iterator[FlowymlError]:
    if limit is None:
        return
    for job in plan.jobs:
        price = job.price_usd_hour
        if price is None or price > limit:
            costs = "has no known price" if price is None else f"costs ${price:,.4g} an hour"
            yield PlanTooDearError(
                what=f"Job {job.name!r}: {job.instance_type} {costs}",
                why=f"max_price_usd_hour is {limit:g}",
                fix="ask for less (`flowyml-aws plan FILE --explain "
                f"{job.name}` shows what costs less), or raise the limit",
            )


def _dear_run(plan: ExecutionPlan, limit: float | None) -> Iterator[FlowymlError]:
    if limit is None:
        return
    expected = plan.estimate.cost_usd if plan.estimate else None
    if expected is not None:
        if expected > limit:
            yield PlanTooDearError(
                what=f"The run of {plan.pipeline!r} is expected to cost ${expected:,.4g}",
                why=f"max_cost_usd is {limit:g}",
                fix="see the plan's cheapest split, ask for less, or raise the limit",
            )
        return
    bounds = {job.name: _at_most_usd(job) for job in plan.jobs}
    unbounded = [name for name, bound in bounds.items() if bound is None]
    if unbounded:
        yield PlanTooDearError(
            what=f"What the run of {plan.pipeline!r} costs is unknown",
            why=f"max_cost_usd is {limit:g}, and of {', '.join(map(repr, unbounded))} neither an "
            "earlier run nor timeouts (with a known price) tell how much it can be",
            fix="give the steps a timeout, or run it once without max_cost_usd",
        )
        return
    most = sum(bound for bound in bounds.values() if bound is not None)
    if most > limit:
        yield PlanTooDearError(
            what=f"The run of {plan.pipeline!r} can cost up to ${most:,.4g}, by its timeouts",
            why=f"max_cost_usd is {limit:g}, and no earlier run tells what it really costs",
            fix="shorten the timeouts, or run it once without max_cost_usd",
        )


def _at_most_usd(job: PlannedJob) -> float | None:
    """What one attempt of a job costs at most, by its expected time or its timeout."""
    if job.expected_cost_usd is not None:
        return job.expected_cost_usd
    if job.price_usd_hour is None or job.timeout_s is None:
        return None
    return job.price_usd_hour * (STARTUP_S[job.backend] + job.timeout_s) / 3600
