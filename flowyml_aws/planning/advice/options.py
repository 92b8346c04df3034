"""Other ways to run a pipeline: another grouping, and spot capacity."""

from __future__ import annotations

from flowyml_aws.core.amounts import counted, usd
from flowyml_aws.planning.advice.document import Option
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob

__all__ = ["grouping_option", "spot_option"]

_LEAST_USD = 0.0001  # smaller differences are rounding


def grouping_option(plan: ExecutionPlan) -> Option:
    """Return what the cheapest split of the groups saves."""
    estimate = plan.estimate
    variants = {} if estimate is None else {each.name: each for each in estimate.variants}
    grouped, split = variants.get("as grouped"), variants.get("cheapest split")
    if grouped is None:
        return Option(
            name="grouping", saving_usd=None, basis="unknown, because a step has no measured time"
        )
    if split is None:
        return Option(name="grouping", saving_usd=0.0, basis="every step has a job of its own")
    if grouped.cost_usd is None or split.cost_usd is None:
        return Option(
            name="grouping", saving_usd=None, basis="unknown, because a price is not known"
        )
    saving = _saving(grouped.cost_usd, split.cost_usd)
    if saving <= 0 or not split.cuts:
        return Option(name="grouping", saving_usd=0.0, basis="no split of the groups is cheaper")
    cuts = "; ".join(
        f"{group}: {' | '.join(' → '.join(steps) for steps in parts)}"
        for group, parts in split.cuts.items()
    )
    basis = (
        f"{usd(split.cost_usd)} in {counted(split.jobs, 'job')} instead of "
        f"{usd(grouped.cost_usd)} in {counted(grouped.jobs, 'job')}, if split into {cuts}"
    )
    return Option(name="grouping", saving_usd=saving, basis=basis)


def spot_option(plan: ExecutionPlan, on_spot: ExecutionPlan | None) -> Option:
    """Return what spot capacity saves.

    Args:
        plan: Plan with the advised requests.
        on_spot: The same plan that prefers spot capacity; None if there is no such plan.
    """
    moved = [] if on_spot is None else [job for job in on_spot.jobs if job.capacity == "spot"]
    if on_spot is None or not moved:
        basis = "no target has spot capacity for these jobs"
        return Option(name="spot", saving_usd=None, basis=basis)
    if all(job.capacity == "spot" for job in plan.jobs):
        return Option(name="spot", saving_usd=0.0, basis="every job is on spot capacity already")
    if any(job.offers[0].price_basis != "spot" for job in moved):
        return Option(
            name="spot", saving_usd=None, basis="unknown, because a type has no known spot price"
        )
    cost, spot_cost = _cost(plan), _cost(on_spot)
    if cost is None or spot_cost is None:
        return Option(
            name="spot", saving_usd=None, basis="unknown, because the cost of a run is not known"
        )
    machines = ", ".join(_spot_text(job) for job in moved[:3])
    more = f" and {counted(len(moved) - 3, 'more job')}" if moved[3:] else ""
    basis = f"{usd(spot_cost)} instead of {usd(cost)}, without lost attempts: {machines}{more}"
    return Option(name="spot", saving_usd=_saving(cost, spot_cost), basis=basis)


def _spot_text(job: PlannedJob) -> str:
    return f"{job.name} on {job.instance_type} at {usd(job.price_usd_hour or 0)}/h"


def _cost(plan: ExecutionPlan) -> float | None:
    return None if plan.estimate is None else plan.estimate.cost_usd


def _saving(before_usd: float, after_usd: float) -> float:
    saving = before_usd - after_usd
    return saving if abs(saving) >= _LEAST_USD else 0.0
