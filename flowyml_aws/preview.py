"""What the planner would choose, asked without making a run."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from flowyml_aws.connect import plan_targets
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.step_grouping import StepGroup
from flowyml_aws.packaging.project import find_project
from flowyml_aws.planning.catalog import Catalog, load_catalog
from flowyml_aws.planning.make import LOCAL, make_plan
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.plan import PlannedJob
from flowyml_aws.planning.selection import Choice, select
from flowyml_aws.planning.targets import CAPACITY_LABEL, Target
from flowyml_aws.settings import load_settings

__all__ = ["explain", "rank"]


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
    targets, _, catalog = _ground(backend, find_project(s.func for s in graph.steps).root)
    plan = make_plan(name, backend, graph, groups, targets, catalog)
    jobs = {planned.name: planned for planned in plan.jobs}
    if job not in jobs:
        near = difflib.get_close_matches(job, jobs, n=1)
        raise SettingsError(
            what=f"The plan of {name!r} has no job {job!r}",
            why=f"its jobs are {', '.join(jobs)}",
            fix=f"did you mean {near[0]!r}?" if near else "name one of them",
        )
    return jobs[job], select(jobs[job].needs, targets, catalog)


def rank(needs: Needs, backend: str, spot: bool = False) -> tuple[Choice, str]:
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
    targets, note, catalog = _ground(backend, find_project([]).root)
    if spot:
        needs = replace(needs, required=(*needs.required, (CAPACITY_LABEL, "spot")))
        # What the plan picks by itself can be had either way.
        targets = [replace(t, capacity="spot") if t.placed_by == "plan" else t for t in targets]
    return select(needs, targets, catalog), note


def _ground(backend: str, project: Path) -> tuple[Sequence[Target], str, Catalog]:
    targets, note = plan_targets(backend, load_settings(project, os.environ), project)
    return targets, note, load_catalog()
