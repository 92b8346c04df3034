"""Other ways to run a pipeline: another grouping, and spot capacity."""

from __future__ import annotations

from flowyml_aws.core.amounts import counted, usd
from flowyml_aws.planning.advice.document import Option
from flowyml_aws.planning.advice.merging import Merged
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob, Variant
from flowyml_aws.planning.wording import time_text

__all__ = ["grouping_option", "spot_option"]

_LEAST_USD = 0.0001  # smaller differences are rounding


def grouping_option(plan: ExecutionPlan, merged: Merged | None) -> Option:
    """Return what another grouping saves: the cheaper one of a split and a merge.

    Args:
        plan: Plan with the advised requests.
        merged: The same plan with merged groups; None if no merge is cheaper.
    """
    estimate = plan.estimate
    variants = {} if estimate is None else {each.name: each for each in estimate.variants}
    grouped, split = variants.get("as grouped"), variants.get("cheapest split")
    if grouped is None or grouped.cost_usd is None:
        basis = "unknown, because the time or the price of a job is not known"
        return Option(name="grouping", saving_usd=None, basis=basis)
    savings: list[tuple[float, str]] = []
    if split is not None and split.cost_usd is not None and split.cuts:
        parts = "; ".join(
            f"{group}: {' | '.join(' → '.join(steps) for steps in cuts)}"
            for group, cuts in split.cuts.items()
        )
        basis = f"{_grouping_text(split.cost_usd, split.wall_s, grouped)}, if split into {parts}"
        savings.append((_saving(grouped.cost_usd, split.cost_usd), basis))
    if merged is not None and merged.plan.estimate is not None:
        cost, wall_s = merged.plan.estimate.cost_usd, merged.plan.estimate.wall_s
        if cost is not None and wall_s is not None:
            groups = "; ".join(" + ".join(part) for part in merged.parts if part[1:])
            basis = f"{_grouping_text(cost, wall_s, grouped)}, if these are one group: {groups}"
            savings.append((_saving(grouped.cost_usd, cost), basis))
    saving, basis = max(savings, default=(0.0, ""))
    if saving <= 0:
        saving, basis = 0.0, "no split or merge of the groups is cheaper"
    return Option(name="grouping", saving_usd=saving, basis=basis)


def spot_option(plan: ExecutionPlan, on_spot: ExecutionPlan | None) -> Option:
    """Return what spot capacity saves.

    Args:
        plan: Plan with the advised requests.
        on_spot: The same plan that prefers spot capacity; None if none fits.
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
    return f"{job.name} on {job.machines} at {usd(job.price_usd_hour or 0)}/h"


def _grouping_text(cost_usd: float, wall_s: float, grouped: Variant) -> str:
    return (
        f"{usd(cost_usd)} and {time_text(wall_s)} instead of {usd(grouped.cost_usd or 0)} and "
        f"{time_text(grouped.wall_s)}"
    )


def _cost(plan: ExecutionPlan) -> float | None:
    return None if plan.estimate is None else plan.estimate.cost_usd


def _saving(before_usd: float, after_usd: float) -> float:
    saving = before_usd - after_usd
    return saving if abs(saving) >= _LEAST_USD else 0.0
