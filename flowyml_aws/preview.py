"""What a run would be, asked of the planner without making one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from flowyml_aws.connect import PlanningPlace, connect_to_plan, settings_of
from flowyml_aws.core.errors import FlowymlError, SettingsError
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.step import Step
from flowyml_aws.core.step_grouping import StepGroup
from flowyml_aws.packaging.project import find_project
from flowyml_aws.planning.limits import Limits, over_limits
from flowyml_aws.planning.make import LOCAL, make_plan
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
from flowyml_aws.planning.selection import Choice, select
from flowyml_aws.planning.targets import CAPACITY_LABEL
from flowyml_aws.settings import Settings

__all__ = ["explain", "limits_of", "plan_at", "plan_only", "rank", "too_dear"]


def plan_only(
    name: str, graph: StepGraph, groups: Sequence[StepGroup], backend: str
) -> ExecutionPlan:
    """The plan of a run that is not made; without an account, with all that AWS offers.

    Raises:
        InvalidPipelineError: Nothing serves a group.
        FlowymlError: Settings are wrong, or AWS refused.
    """
    return plan_at(_place(backend, _root(graph.steps)), name, backend, graph, groups)


def plan_at(
    place: PlanningPlace, name: str, backend: str, graph: StepGraph, groups: Sequence[StepGroup]
) -> ExecutionPlan:
    """The plan for a place, by all that is known there.

    Raises:
        InvalidPipelineError: Nothing serves a group.
        FlowymlError: AWS refused.
    """
    targets, past = place.targets(), place.past(name)
    plan = make_plan(name, backend, graph, groups, targets, place.catalog, past)
    notes = place.notes(datetime.now(timezone.utc).date())
    return plan.model_copy(update={"notes": (*plan.notes, *notes)})


def limits_of(settings: Settings, asked: Limits) -> Limits:
    """The limits asked for, and where none is, those of the settings."""
    price, cost = asked.price_usd_hour, asked.cost_usd  # 0 is a limit, too
    return Limits(
        settings.max_price_usd_hour if price is None else price,
        settings.max_cost_usd if cost is None else cost,
    )


def too_dear(plan: ExecutionPlan, steps: Iterable[Step], asked: Limits) -> list[FlowymlError]:
    """Why a run would be refused for what it costs."""
    return over_limits(plan, limits_of(settings_of(_root(steps), plan.backend), asked))


def explain(
    name: str, graph: StepGraph, groups: Sequence[StepGroup], backend: str, job: str
) -> tuple[PlannedJob, Choice]:
    """A job of a plan, and the choice that was made for it.

    Raises:
        SettingsError: The plan has no such job, or the backend has no instance types.
        InvalidPipelineError: Nothing serves a group.
        FlowymlError: Settings are wrong, or AWS refused.
    """
    if backend == LOCAL:
        raise SettingsError(
            what="There is no choice to explain on this machine",
            why="jobs of the backend 'local' take what is here",
            fix="explain the plan for backend='batch' or 'sagemaker'",
        )
    place = _place(backend, _root(graph.steps))
    plan = make_plan(name, backend, graph, groups, place.targets(), place.catalog)
    jobs = {planned.name: planned for planned in plan.jobs}
    if job not in jobs:
        near = difflib.get_close_matches(job, jobs, n=1)
        raise SettingsError(
            what=f"The plan of {name!r} has no job {job!r}",
            why=f"its jobs are {', '.join(jobs)}",
            fix=f"did you mean {near[0]!r}?" if near else "name one of them",
        )
    return jobs[job], select(jobs[job].needs, place.targets(), place.catalog)


def rank(needs: Needs, backend: str, spot: bool = False) -> tuple[Choice, Sequence[str]]:
    """The instance types that serve a job, and what was assumed about where it can go.

    Args:
        needs: The job's.
        backend: `batch` or `sagemaker`.
        spot: On spot capacity only.

    Raises:
        NoInstanceFitsError: Nothing does; the error tells the nearest options.
        FlowymlError: Settings are wrong, or AWS refused.
    """
    if backend == LOCAL:
        raise SettingsError(
            what="This machine has no instance types",
            why="jobs of the backend 'local' take what is here",
            fix="ask for --backend batch or sagemaker",
        )
    place = _place(backend, find_project([]).root)
    targets = place.targets()
    if spot:
        needs = replace(needs, required=(*needs.required, (CAPACITY_LABEL, "spot")))
        # What the plan picks by itself can be had either way.
        targets = [replace(t, capacity="spot") if t.placed_by == "plan" else t for t in targets]
    notes = place.notes(datetime.now(timezone.utc).date())
    return select(needs, targets, place.catalog), notes


def _place(backend: str, project: Path) -> PlanningPlace:
    return connect_to_plan(backend, settings_of(project, backend), project)


def _root(steps: Iterable[Step]) -> Path:
    return find_project(step.func for step in steps).root
