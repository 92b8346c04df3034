"""From a pipeline to a submitted run: check everything, then write, then submit."""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from flowyml_aws.artifacts.cache import keep_entry
from flowyml_aws.connect import Place, connect, settings_of
from flowyml_aws.core.errors import (
    FlowymlError,
    InvalidPipelineError,
    InvalidStepError,
    RequirementsError,
    SettingsError,
    UnpicklableStepError,
)
from flowyml_aws.core.graph import StepGraph, read_graph
from flowyml_aws.core.identity import context_read
from flowyml_aws.core.importing import refuse_while_importing
from flowyml_aws.core.parameters import missing_arguments
from flowyml_aws.core.step import Step
from flowyml_aws.core.step_grouping import StepGroup, group_steps
from flowyml_aws.packaging.bundle import SourceBundle, make_bundle
from flowyml_aws.packaging.modules import laptop_only_modules
from flowyml_aws.packaging.payload import StepPayload, make_payload
from flowyml_aws.packaging.project import Project, find_project, project_files
from flowyml_aws.packaging.requirements import resolve_requirements
from flowyml_aws.planning.limits import over_limits
from flowyml_aws.planning.placement import LOCAL, Placement
from flowyml_aws.preview import Decision, limits_of, plan_at
from flowyml_aws.request import RunRequest
from flowyml_aws.runtime.spec import PackageLayer
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.keys import make_keys
from flowyml_aws.submission.package import RunPackage, job_specs, record_to_be, write_run
from flowyml_aws.submission.record import make_run_id

__all__ = ["launch", "problems_of_steps"]


def launch(request: RunRequest) -> RunDriver:
    """Write a run and submit what can start.

    Raises:
        InvalidPipelineError: With every mistake found; nothing was written or submitted.
    """
    refuse_while_importing()
    graph, context, backend = request.graph, request.context, request.backend
    project = find_project(step.func for step in graph.steps)
    settings = settings_of(project.root, backend)
    place = connect(backend, settings, project.root)
    now = datetime.now(timezone.utc)
    run_id = make_run_id(request.name, now, secrets.token_hex)
    problems = [*request.problems(), *missing_arguments(graph, context), *place.problems()]
    decision, unserved = _decision_at(place, request)
    problems += unserved
    if decision is not None:
        problems += over_limits(decision.plan, limits_of(settings, request.limits))
        problems += place.problems_of(decision.plan, record_to_be(decision.plan, run_id))
    payloads: list[StepPayload] = []
    for group in decision.groups if decision else request.groups:
        try:
            payloads.append(make_payload(group.steps, _context_of(group, graph, context)))
        except UnpicklableStepError as error:
            problems.append(error)
    bundle = layer = None
    if backend != LOCAL:
        found, bundle = _code_of(graph.steps, project, settings.include)
        problems += found
        found, layer = _layer_of(settings.requirements)
        problems += found
    if request.detached:
        problems += place.problems_of_driver()
    if problems or decision is None:
        raise InvalidPipelineError(request.name, problems)

    store, plan, reuse = place.store, decision.plan, decision.reuse
    for entry in reuse.entries.values():
        keep_entry(store, entry, now.timestamp())
    inputs = {a: value for a, value in decision.inputs.items() if a in decision.graph.given}
    package = RunPackage(
        project=project,
        bundle=bundle,
        payloads={job.name: payload for job, payload in zip(plan.jobs, payloads, strict=True)},
        given={**reuse.refs, **{asset: value.save(store) for asset, value in inputs.items()}},
        layer=layer,
    )
    if package.bundle is not None:
        plan = plan.model_copy(update={"notes": (*plan.notes, *package.bundle.warnings)})
    specs = job_specs(plan, decision.graph, package, reuse, run_id, store.uri)
    keys = make_keys(graph, reuse, request.force_run, decision.fingerprinter)
    record = write_run(store, plan, package, specs, keys, run_id, time.time())
    driver = RunDriver(store, record, plan, place.backend(record, plan), settings.allow_pickle)
    if not (request.detached and place.start_driver(record)):
        driver.advance()
    return driver


def problems_of_steps(
    name: str,
    steps: Sequence[Step],
    context: Mapping[str, Any],
    inputs: Collection[str],
    placement: Placement,
) -> list[FlowymlError]:
    """What else keeps steps from running that could not be built into a pipeline.

    Each step is looked at on its own, so that one report names every mistake.
    """
    refuse_while_importing()
    backend = placement.name
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
            values = {n: v for n, v in context.items() if n in context_read(step, graph, context)}
            make_payload([step], values)
        except UnpicklableStepError as error:
            problems.append(error)
        if not own:
            alone = RunRequest(name, graph, group_steps([step]), placement, context)
            problems += _decision_at(place, alone)[1]
    return problems


def _decision_at(
    place: Place, request: RunRequest
) -> tuple[Decision | None, Sequence[FlowymlError]]:
    """The plan with what it rests on, or None and what keeps it from being made."""
    try:
        return plan_at(place, request), ()
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


def _layer_of(
    requirements: Sequence[str],
) -> tuple[list[FlowymlError], PackageLayer | None]:
    """What is wrong with what jobs are to install, and it resolved."""
    if not requirements:
        return [], None
    try:
        return [], resolve_requirements(requirements)
    except RequirementsError as error:
        return [error], None


def _context_of(group: StepGroup, graph: StepGraph, context: Mapping[str, Any]) -> dict[str, Any]:
    """The context values that a group's steps read: others need not travel, or even pickle."""
    read = {name for step in group.steps for name in context_read(step, graph, context)}
    return {name: value for name, value in context.items() if name in read}
