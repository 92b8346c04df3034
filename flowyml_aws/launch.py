"""From a pipeline to a submitted run: check everything, then write, then submit."""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from flowyml_aws.artifacts.values import save_value
from flowyml_aws.connect import Place, connect, settings_of
from flowyml_aws.core.binding import bind
from flowyml_aws.core.errors import (
    FlowymlError,
    InvalidPipelineError,
    InvalidStepError,
    SettingsError,
    UnpicklableStepError,
)
from flowyml_aws.core.graph import StepGraph, missing_arguments, read_graph
from flowyml_aws.core.importing import refuse_while_importing
from flowyml_aws.core.step import Step
from flowyml_aws.core.step_grouping import StepGroup, group_steps
from flowyml_aws.packaging.bundle import SourceBundle, make_bundle
from flowyml_aws.packaging.modules import laptop_only_modules
from flowyml_aws.packaging.payload import StepPayload, make_payload
from flowyml_aws.packaging.project import Project, find_project, project_files
from flowyml_aws.planning.limits import Limits, over_limits
from flowyml_aws.planning.make import LOCAL
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.preview import limits_of, plan_at
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.package import RunPackage, job_specs, write_run
from flowyml_aws.submission.record import make_run_id

__all__ = ["launch", "problems_of_steps"]


def launch(
    name: str,
    graph: StepGraph,
    groups: Sequence[StepGroup],
    context: Mapping[str, Any],
    inputs: Mapping[str, Any],
    backend: str,
    limits: Limits,
) -> RunDriver:
    """Write a run and submit what can start.

    Args:
        name: The pipeline's.
        graph: Its steps.
        groups: All of them, in running order.
        context: Values for parameters.
        inputs: Values of assets that no step produces.
        backend: Where jobs run.
        limits: What it may cost; the settings' limits hold where it names none.

    Raises:
        InvalidPipelineError: With every mistake found; nothing was written or submitted.
    """
    refuse_while_importing()
    project = _project_of(graph)
    settings = settings_of(project.root, backend)
    place = connect(backend, settings, project.root)
    problems = [*missing_arguments(graph, context), *place.problems()]
    plan, unserved = _plan_at(place, name, backend, graph, groups)
    problems += unserved
    if plan is not None:
        problems += over_limits(plan, limits_of(settings, limits))
    payloads: list[StepPayload] = []
    for group in groups:
        try:
            payloads.append(make_payload(group.steps, _context_of(group, graph, context)))
        except UnpicklableStepError as error:
            problems.append(error)
    bundle = None
    if backend != LOCAL:
        found, bundle = _code_of(graph.steps, project, settings.include)
        problems += found
    if problems or plan is None:
        raise InvalidPipelineError(name, problems)

    store = place.store
    package = RunPackage(
        project=project,
        bundle=bundle,
        payloads={job.name: payload for job, payload in zip(plan.jobs, payloads, strict=True)},
        given={asset: save_value(store, asset, value) for asset, value in inputs.items()},
    )
    if package.bundle is not None:
        plan = plan.model_copy(update={"notes": (*plan.notes, *package.bundle.warnings)})
    run_id = make_run_id(name, datetime.now(timezone.utc), secrets.token_hex)
    specs = job_specs(plan, graph, package, run_id, store.uri)
    record = write_run(store, plan, package, specs, run_id, time.time())
    driver = RunDriver(store, record, plan, place.backend(record, plan))
    driver.advance()
    return driver


def problems_of_steps(
    name: str,
    steps: Sequence[Step],
    context: Mapping[str, Any],
    inputs: Collection[str],
    backend: str,
) -> list[FlowymlError]:
    """What else keeps steps from running that could not be built into a pipeline.

    Each step is looked at on its own, so that one report names every mistake.
    """
    refuse_while_importing()
    project = find_project(step.func for step in steps)
    settings = settings_of(project.root, backend)
    place = connect(backend, settings, project.root)
    problems = place.problems()
    if backend != LOCAL:
        problems += _code_of(steps, project, settings.include)[0]
    assets = {asset for step in steps for asset in step.assets} | set(inputs)
    for step in steps:
        graph, own = read_graph([step], assets - set(step.assets))
        if graph is None or any(isinstance(problem, InvalidStepError) for problem in own):
            continue
        problems += missing_arguments(graph, context)
        try:
            values = {n: v for n, v in context.items() if n in _context_read(step, graph, context)}
            make_payload([step], values)
        except UnpicklableStepError as error:
            problems.append(error)
        if not own:
            problems += _plan_at(place, name, backend, graph, group_steps([step]))[1]
    return problems


def _plan_at(
    place: Place, name: str, backend: str, graph: StepGraph, groups: Sequence[StepGroup]
) -> tuple[ExecutionPlan | None, Sequence[FlowymlError]]:
    """The plan, or None and what keeps it from being made."""
    try:
        return plan_at(place, name, backend, graph, groups), ()
    except InvalidPipelineError as error:
        return None, error.problems
    except FlowymlError as error:  # no targets: `place.problems` says so as well
        return None, (error,)


def _code_of(
    steps: Sequence[Step], project: Project, include: Sequence[str]
) -> tuple[list[FlowymlError], SourceBundle | None]:
    """What is wrong with the code that travels, and the bundle of it."""
    try:
        files = project_files(project.root, include)
        return laptop_only_modules(steps, project, files.values()), make_bundle(files)
    except SettingsError as error:
        return [error], None


def _project_of(graph: StepGraph) -> Project:
    return find_project(step.func for step in graph.steps)


def _context_of(group: StepGroup, graph: StepGraph, context: Mapping[str, Any]) -> dict[str, Any]:
    """The context values that a group's steps read: others need not travel, or even pickle."""
    read = {name for step in group.steps for name in _context_read(step, graph, context)}
    return {name: value for name, value in context.items() if name in read}


def _context_read(step: Step, graph: StepGraph, context: Mapping[str, Any]) -> set[str]:
    read = set(bind(step.func, step.inputs, context).context)
    if step.condition is not None:
        reads = graph.reads[step.name]
        read.update(bind(step.condition, step.inputs, context, reads, step.func).context)
    return read
