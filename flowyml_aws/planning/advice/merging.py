"""Groups that are merged with their neighbors, so that fewer jobs start."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from flowyml_aws.core.errors import AffinityConflictError, InvalidPipelineError
from flowyml_aws.core.step_grouping import StepGroup
from flowyml_aws.planning.plan import ExecutionPlan

__all__ = ["Merged", "cheapest_merge"]

_MAX_GROUPS = 30  # each merge needs a plan


@dataclass(frozen=True, slots=True)
class Merged:
    """A plan with merged groups.

    Attributes:
        parts: For each job, the names of the groups whose steps it runs.
    """

    plan: ExecutionPlan
    parts: tuple[tuple[str, ...], ...]


def cheapest_merge(
    groups: Sequence[StepGroup],
    plan: ExecutionPlan,
    plan_of: Callable[[Sequence[StepGroup]], ExecutionPlan],
) -> Merged | None:
    """Return the plan in which neighbors are one group wherever this lowers the cost of a run.

    Groups are merged from the first to the last in running order, so that their jobs can't wait for
    each other. Groups of different services, whose options differ, or whose labels or
    environments conflict, are not merged. Return None if nothing is merged.

    Args:
        groups: All groups, in running order.
        plan: Their plan.
        plan_of: Returns the plan of other groups.
    """
    if len(groups) > _MAX_GROUPS or _cost_usd(plan) is None:
        return None
    backends = [job.backend for job in plan.jobs]
    kept, best = [groups[0]], plan
    parts: list[tuple[str, ...]] = [(groups[0].group_name,)]
    for position, group in enumerate(groups[1:], 1):
        merged = _merge(kept[-1], group) if backends[position - 1] == backends[position] else None
        if merged is not None:
            candidate = _plan([*kept[:-1], merged, *groups[position + 1 :]], plan_of)
            if candidate is not None and _is_cheaper(candidate, best):
                best, kept[-1] = candidate, merged
                parts[-1] = (*parts[-1], group.group_name)
                continue
        kept.append(group)
        parts.append((group.group_name,))
    return Merged(best, tuple(parts)) if best is not plan else None


def _merge(first: StepGroup, second: StepGroup) -> StepGroup | None:
    if first.options != second.options:
        return None
    variables = {**first.environment, **first.secrets}
    for name, value in {**second.environment, **second.secrets}.items():
        if variables.get(name, value) != value:
            return None
    try:
        together = first.with_steps((*first.steps, *second.steps))
    except AffinityConflictError:
        return None
    return replace(
        together,
        environment={**first.environment, **second.environment},
        secrets={**first.secrets, **second.secrets},
    )


def _plan(
    groups: Sequence[StepGroup], plan_of: Callable[[Sequence[StepGroup]], ExecutionPlan]
) -> ExecutionPlan | None:
    try:
        return plan_of(groups)
    except InvalidPipelineError:
        return None


def _is_cheaper(candidate: ExecutionPlan, best: ExecutionPlan) -> bool:
    cost, best_cost = _cost_usd(candidate), _cost_usd(best)
    return cost is not None and best_cost is not None and cost < best_cost * (1 - 1e-9)


def _cost_usd(plan: ExecutionPlan) -> float | None:
    return None if plan.estimate is None else plan.estimate.cost_usd
