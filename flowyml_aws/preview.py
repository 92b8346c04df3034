"""What a run would be, asked of the planner without making one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from flowyml_aws.artifacts.cache import CacheEntry
from flowyml_aws.artifacts.values import EncodedValue, encode_value
from flowyml_aws.connect import PlanningPlace, connect_to_plan, settings_of
from flowyml_aws.core.errors import FlowymlError, InvalidPipelineError, SettingsError
from flowyml_aws.core.fingerprint import Fingerprinter
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.core.step import Step
from flowyml_aws.core.step_grouping import StepGroup
from flowyml_aws.packaging.project import find_project
from flowyml_aws.planning.limits import Limits, over_limits
from flowyml_aws.planning.make import make_plan
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.placement import LOCAL
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob, ReusedStep
from flowyml_aws.planning.reuse import Reuse
from flowyml_aws.planning.selection import Selection, select
from flowyml_aws.planning.targets import CAPACITY_LABEL
from flowyml_aws.request import RunRequest
from flowyml_aws.settings import Settings
from flowyml_aws.submission.caching import find_reuse, identities_of
from flowyml_aws.submission.history import read_times

__all__ = ["Decision", "budget_violations", "explain", "limits_of", "plan_at", "plan_only", "rank"]


@dataclass(frozen=True, slots=True)
class Decision:
    """A plan, and what it rests on.

    Attributes:
        graph: The steps that run.
        groups: All of them, in running order.
        inputs: What the run brings along.
        reuse: What it takes from earlier runs.
        fingerprinter: That the steps' identities are of.
    """

    plan: ExecutionPlan
    graph: StepGraph
    groups: Sequence[StepGroup]
    inputs: Mapping[str, EncodedValue]
    reuse: Reuse
    fingerprinter: Fingerprinter


def plan_only(request: RunRequest) -> ExecutionPlan:
    """The plan of a run that is not made; without an account, with all that AWS offers.

    Raises:
        InvalidPipelineError: Nothing serves a group, or a cache function fails.
        FlowymlError: Settings are wrong, or AWS refused.
    """
    if problems := request.problems():
        raise InvalidPipelineError(request.name, problems)
    return plan_at(_place(request.backend, request.project), request).plan


def plan_at(place: PlanningPlace, request: RunRequest) -> Decision:
    """The plan for a place, by all that is known there.

    Raises:
        InvalidPipelineError: Nothing serves a group, or a cache function fails.
        FlowymlError: AWS refused.
    """
    targets = place.targets()
    inputs = {asset: encode_value(asset, value) for asset, value in request.inputs.items()}
    fingerprinter = Fingerprinter()
    identities = identities_of(request.name, request.graph, request.context, fingerprinter)
    given = {asset: value.identity for asset, value in inputs.items()}
    reuse = find_reuse(place.past, request.graph, identities, given, request.force_run)
    graph = request.graph.only(reuse.runs)
    groups = [left for group in request.groups if (left := group.only(reuse.runs)) is not None]
    history = read_times(place.past, request.name) if place.past is not None else ()
    plan = make_plan(
        request.name,
        request.placement,
        graph,
        groups,
        targets,
        place.catalog,
        history,
        reuse.stored,
    )
    notes = place.notes(datetime.now(timezone.utc).date())
    reused = {
        step.name: _reused(step, reuse.entries.get(step.name))
        for step in request.graph.steps
        if step.name not in reuse.runs
    }
    told = {"notes": (*plan.notes, *notes), "reused": reused, "image": _image_at(place)}
    plan = plan.model_copy(update=told)
    return Decision(plan, graph, groups, inputs, reuse, fingerprinter)


def limits_of(settings: Settings, asked: Limits) -> Limits:
    """The limits asked for, and where none is, those of the settings."""
    price, cost = asked.price_usd_hour, asked.cost_usd  # 0 is a limit, too
    return Limits(
        settings.max_price_usd_hour if price is None else price,
        settings.max_cost_usd if cost is None else cost,
    )


def budget_violations(
    plan: ExecutionPlan, steps: Iterable[Step], asked: Limits
) -> list[FlowymlError]:
    """Why a run would be refused for what it costs."""
    return over_limits(plan, limits_of(settings_of(_root(steps), plan.backend), asked))


def explain(request: RunRequest, job: str) -> tuple[PlannedJob, Selection]:
    """A job of a plan in which every step runs, and the choice that was made for it.

    Raises:
        SettingsError: The plan has no such job, or the backend has no instance types.
        InvalidPipelineError: Nothing serves a group.
        FlowymlError: Settings are wrong, or AWS refused.
    """
    if request.backend == LOCAL:
        raise SettingsError(
            what="There is no choice to explain on this machine",
            why="jobs of the backend 'local' take what is here",
            fix="explain the plan for backend='batch' or 'sagemaker'",
        )
    if problems := request.problems():
        raise InvalidPipelineError(request.name, problems)
    place = _place(request.backend, request.project)
    targets, catalog = place.targets(), place.catalog
    placement = request.placement
    plan = make_plan(request.name, placement, request.graph, request.groups, targets, catalog)
    jobs = {planned.name: planned for planned in plan.jobs}
    if job not in jobs:
        raise SettingsError(
            what=f"The plan of {request.name!r} has no job {job!r}",
            why=f"its jobs are {', '.join(jobs)}",
            fix=did_you_mean(job, jobs, "name one of them"),
        )
    own = [target for target in targets if target.kind == jobs[job].backend]
    return jobs[job], select(jobs[job].needs, own, catalog)


def rank(needs: Needs, backend: str, spot: bool = False) -> tuple[Selection, Sequence[str]]:
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


def _reused(step: Step, entry: CacheEntry | None) -> ReusedStep:
    if entry is None:
        return ReusedStep(produces=step.assets)
    return ReusedStep(produces=step.assets, run_id=entry.run_id, assets=entry.assets)


def _image_at(place: PlanningPlace) -> str | None:
    try:
        return place.image
    except FlowymlError:  # a plan is worth seeing without it: a note says what is wrong
        return None
