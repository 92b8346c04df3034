"""From a pipeline to a submitted run: check everything, then write, then submit."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from flowyml_aws.artifacts.values import save_value
from flowyml_aws.connect import connect, plan_targets
from flowyml_aws.core.binding import bind
from flowyml_aws.core.errors import FlowymlError, InvalidPipelineError, UnpicklableStepError
from flowyml_aws.core.graph import StepGraph, missing_arguments
from flowyml_aws.core.importing import refuse_while_importing
from flowyml_aws.core.step_grouping import StepGroup
from flowyml_aws.packaging.bundle import make_bundle
from flowyml_aws.packaging.payload import StepPayload, laptop_only_modules, make_payload
from flowyml_aws.packaging.project import Project, find_project, project_files
from flowyml_aws.planning.catalog import load_catalog
from flowyml_aws.planning.make import LOCAL, make_plan
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.settings import load_settings
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.package import RunPackage, job_specs, write_run
from flowyml_aws.submission.record import make_run_id

__all__ = ["launch", "plan_only"]


def plan_only(
    name: str, graph: StepGraph, groups: Sequence[StepGroup], backend: str
) -> ExecutionPlan:
    """The plan of a run that is not made; without an account, with all that AWS offers.

    Raises:
        InvalidPipelineError: Nothing serves a group.
        FlowymlError: Settings are wrong, or AWS refused.
    """
    project = _project_of(graph)
    settings = load_settings(project.root, os.environ)
    targets, note = plan_targets(backend, settings, project.root)
    plan = make_plan(name, backend, graph, groups, targets, load_catalog())
    return plan.model_copy(update={"notes": (*plan.notes, note)}) if note else plan


def launch(
    name: str,
    graph: StepGraph,
    groups: Sequence[StepGroup],
    context: Mapping[str, Any],
    inputs: Mapping[str, Any],
    backend: str,
) -> RunDriver:
    """Write a run and submit what can start.

    Args:
        name: The pipeline's.
        graph: Its steps.
        groups: All of them, in running order.
        context: Values for parameters.
        inputs: Values of assets that no step produces.
        backend: Where jobs run.

    Raises:
        InvalidPipelineError: With every mistake found; nothing was written or submitted.
    """
    refuse_while_importing()
    project = _project_of(graph)
    settings = load_settings(project.root, os.environ)
    place = connect(backend, settings, project.root)
    problems = [*missing_arguments(graph, context), *place.problems()]
    plan = None
    try:
        plan = make_plan(name, backend, graph, groups, place.targets(), load_catalog())
    except InvalidPipelineError as error:
        problems += error.problems
    except FlowymlError as error:  # no targets: `place.problems` says so as well
        problems.append(error)
    payloads: list[StepPayload] = []
    for group in groups:
        try:
            payloads.append(make_payload(group.steps, _context_of(group, graph, context)))
        except UnpicklableStepError as error:
            problems.append(error)
    if backend != LOCAL:
        problems += laptop_only_modules(graph.steps, project)
    if problems or plan is None:
        raise InvalidPipelineError(name, problems)

    store = place.store
    package = RunPackage(
        project=project,
        bundle=None
        if backend == LOCAL
        else make_bundle(project_files(project.root, settings.include)),
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


def _project_of(graph: StepGraph) -> Project:
    return find_project(step.func for step in graph.steps)


def _context_of(group: StepGroup, graph: StepGraph, context: Mapping[str, Any]) -> dict[str, Any]:
    """The context values that a group's steps read: others need not travel, or even pickle."""
    read: set[str] = set()
    for step in group.steps:
        read.update(bind(step.func, step.inputs, context).context)
        if step.condition is not None:
            reads = graph.reads[step.name]
            read.update(bind(step.condition, step.inputs, context, reads, step.func).context)
    return {name: value for name, value in context.items() if name in read}
