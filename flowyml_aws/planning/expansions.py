"""Dynamic steps of a plan: the jobs that wait for their pipelines, and the limits of these."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from flowyml_aws.core.amounts import usd
from flowyml_aws.core.errors import FlowymlError, PlanOverBudgetError
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.step_grouping import StepGroup
from flowyml_aws.planning.expansion_facts import ExpansionFacts
from flowyml_aws.planning.limits import Limits, over_limits
from flowyml_aws.planning.plan import ExecutionPlan

__all__ = ["expansion_notes", "expansions_of", "refusal", "unlimited_expansions"]

_MAX_NAMES = 3


def expansions_of(group: StepGroup, graph: StepGraph, dynamic: Collection[str]) -> tuple[str, ...]:
    """Return the dynamic steps whose pipelines a job waits for, in the order of its steps.

    Args:
        group: Steps of the job.
        graph: Graph of the steps.
        dynamic: Names of all dynamic steps.
    """
    if not dynamic:
        return ()
    parents = (parent for step in group.steps for parent in graph.parents[step.name])
    return tuple(dict.fromkeys(parent for parent in parents if parent in dynamic))


def expansion_notes(plan: ExecutionPlan) -> Iterator[str]:
    """Yield a note on each dynamic step: what waits for its pipeline, and how deep it may be."""
    for step, max_depth in plan.dynamic.items():
        waiting = [job.name for job in plan.jobs if step in job.expansions]
        more = f" and {len(waiting) - _MAX_NAMES} more" if waiting[_MAX_NAMES:] else ""
        names = f"{', '.join(waiting[:_MAX_NAMES])}{more}" if waiting else "no job"
        yield (
            f"{step!r} can return a pipeline, which is not in this plan: it is planned and checked "
            "against the limits when the step has run, and a client or the driver of a detached "
            f"run runs it; {names} will wait for it; pipelines inside one another: at most "
            f"{max_depth}"
        )


def unlimited_expansions(plan: ExecutionPlan, limits: Limits) -> list[FlowymlError]:
    """Return an error if the pipelines of dynamic steps could cost any amount."""
    if not plan.dynamic or not plan.is_priced or limits.cost_usd is not None:
        return []
    names = ", ".join(map(repr, plan.dynamic))
    return [
        PlanOverBudgetError(
            what=f"The run of {plan.pipeline!r} has dynamic steps and no max_cost_usd: {names}",
            why="their pipelines are not in the plan, which does not show what they will cost",
            fix="set max_cost_usd (--max-cost-usd USD, or the setting): a pipeline that could "
            "exceed it is not started",
        )
    ]


def refusal(
    run_id: str,
    plan: ExecutionPlan,
    facts: ExpansionFacts,
    limit_usd: float | None,
    spent_usd: float,
) -> str | None:
    """Return why the pipeline of a dynamic step may not start; None if it may.

    Args:
        run_id: Id of the run with the step.
        plan: Plan of the pipeline.
        facts: Facts of the run.
        limit_usd: Cost limit of the run; None without one.
        spent_usd: Counted cost of the run so far, with all its pipelines.
    """
    used = {job.target for job in plan.jobs if job.offers}
    used.update(alternative.target for alternative in plan.alternatives)
    foreign = used.difference(target.name for target in facts.targets)
    foreign.update({job.backend for job in plan.jobs}.difference(facts.placement.backends))
    if foreign:
        return f"{_not_started(plan)}: the run does not use {', '.join(sorted(foreign))}"
    if over := over_limits(plan, Limits(facts.max_price_usd_hour)):
        return f"{_not_started(plan)}: {over[0].what}, and {over[0].why}"
    if limit_usd is None or not plan.is_priced:
        return None
    expected_usd = plan.estimate.cost_usd if plan.estimate is not None else None
    if spent_usd < limit_usd and spent_usd + (expected_usd or 0.0) <= limit_usd:
        return None
    expected = "an unknown amount" if expected_usd is None else f"{usd(expected_usd)} expected"
    return (
        f"{_not_started(plan)}: {usd(spent_usd)} counted so far and {expected} for its "
        f"{len(plan.jobs)} jobs exceed max_cost_usd {usd(limit_usd)}; continue with "
        f"`flowyml-aws resume {run_id} --max-cost-usd USD`"
    )


def _not_started(plan: ExecutionPlan) -> str:
    return f"pipeline {plan.pipeline!r} is not started"
