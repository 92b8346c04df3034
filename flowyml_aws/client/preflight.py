"""Preflight: all checks before a run is submitted, which find all mistakes at once."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from typing import Any, TypeVar

from flowyml_aws.client.encoded_inputs import folders_of
from flowyml_aws.client.lengths import build
from flowyml_aws.client.preview import PlannedRun, bundle_limits, limits_of, plan_at
from flowyml_aws.client.request import PlanRequest, RunRequest
from flowyml_aws.core.build import BuiltPipeline, expand_maps
from flowyml_aws.core.environment import environment_problems
from flowyml_aws.core.errors import (
    FlowymlError,
    InvalidPipelineError,
    InvalidStepError,
    SettingsError,
)
from flowyml_aws.core.graph import StepGraph, read_graph
from flowyml_aws.core.loading import stop_while_loading
from flowyml_aws.core.nesting import refuse_own_pipeline
from flowyml_aws.core.parameters import input_problems, missing_arguments
from flowyml_aws.core.step_grouping import StepGroup, group_steps
from flowyml_aws.packaging.bundle import bundle_notes, make_bundle
from flowyml_aws.packaging.code import CodeTrial, Payloads, RunCode, payload_of, trying
from flowyml_aws.packaging.imports import program_imports
from flowyml_aws.packaging.modules import client_only_modules
from flowyml_aws.packaging.neighbors import with_neighbors
from flowyml_aws.packaging.payload import StepPayload
from flowyml_aws.packaging.project import Project, project_files
from flowyml_aws.packaging.requirements import resolve_requirements
from flowyml_aws.packaging.secret_values import secret_arguments
from flowyml_aws.packaging.snapshot import snapshot_files
from flowyml_aws.planning.expansions import unlimited_expansions
from flowyml_aws.planning.limits import over_limits
from flowyml_aws.planning.placement import Placement
from flowyml_aws.runtime.spec import PackageLayer
from flowyml_aws.scripts import hidden_main
from flowyml_aws.services.connect import connect, placement_settings
from flowyml_aws.services.run_services import RunServices
from flowyml_aws.settings.model import Settings
from flowyml_aws.submission.package import placeholder_record
from flowyml_aws.submission.record import make_run_id

__all__ = ["CheckedRequest", "preflight"]

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class CheckedRequest:
    """A request without mistakes, with everything that its submission needs.

    Attributes:
        graph: All steps, also those that are reused.
        items: Values of the external inputs of items, by asset.
        code: Code that all jobs share.
        payloads: Pickled steps of each job, in plan order.
        notes: Notes on the code and the services, for the plan.
        layer: Packages that jobs install, or None.
    """

    request: RunRequest
    run_id: str
    settings: Settings
    services: RunServices
    graph: StepGraph
    items: Mapping[str, Any]
    planned: PlannedRun
    code: RunCode
    payloads: Sequence[StepPayload]
    notes: Sequence[str]
    layer: PackageLayer | None


def preflight(request: RunRequest) -> CheckedRequest:
    """Check a request completely: options, steps, settings, account, plan, code and packages.

    A pipeline that cannot be built is checked step by step, so that its other mistakes are in
    the same report.

    Raises:
        InvalidPipelineError: With every mistake; nothing was written or submitted.
    """
    stop_while_loading()
    refuse_own_pipeline(request.name)
    report = _Report()
    project = request.project
    pipeline, problems = build(request)
    report.problems += problems
    placement = report.attempt(lambda: request.placement(project.root))
    report.problems += request.problems(pipeline, placement)
    report.problems += _inputs_without_value(request)
    settings = services = code = layer = None
    code_notes: Sequence[str] = ()
    if placement is not None:
        settings = report.attempt(lambda: placement_settings(project.root, placement))
    if placement is not None and settings is not None:
        report.problems += environment_problems(settings.env, "the setting `env`")
        report.problems += request.recipient_problems(placement, settings)
        code, code_notes = report.code(request, placement, project, settings)
    if pipeline is None:
        services = report.connect(request, placement, settings, project)
        report.check_driver(request, services, None)
        report.check_steps(request, services, placement)
        raise InvalidPipelineError(request.name, report.problems)

    report.problems += missing_arguments(pipeline.declared, request.values)
    run_id = make_run_id(request.name, datetime.now(timezone.utc), secrets.token_hex)
    with ExitStack() as stack:
        trial = None
        if code is not None and code.program.script is None:
            stack.enter_context(hidden_main())
        environment = {} if settings is None else request.environment(settings)
        kept = os.environ if placement is not None and placement.is_in_place else {}
        placeholders = request.secret_placeholders(pipeline, kept)
        if code is not None and settings is not None and not environment_problems(environment, ""):
            # The program is loaded by another process, while this one asks AWS and plans.
            trial = stack.enter_context(
                trying(
                    code,
                    pipeline.declared,
                    request.values,
                    request.choices,
                    os.environ,
                    {**environment, **placeholders},
                    settings.load_timeout_s,
                )
            )
        services = report.connect(request, placement, settings, project)
        planned = None
        if services is not None and settings is not None and placement is not None:
            if not placement.is_in_place and settings.requirements:
                layer = report.attempt(lambda: resolve_requirements(settings.requirements))
            pins = request.pins(settings)
            plan_request = request.plan(pipeline, placement, settings, pins)
            planned = report.startable_plan(services, plan_request)
            if planned is not None:
                report.check_plan(planned, request, settings, services, run_id)
            report.check_driver(request, services, planned)
        groups = pipeline.groups if planned is None else planned.groups
        made = report.payloads(trial, groups, pipeline.graph, request)
    if report.problems:
        raise InvalidPipelineError(request.name, report.problems)
    assert settings is not None and services is not None
    assert planned is not None and code is not None
    return CheckedRequest(
        request=request,
        run_id=run_id,
        settings=settings,
        services=services,
        graph=pipeline.graph,
        items=pipeline.items,
        planned=planned,
        code=code,
        payloads=made.payloads,
        notes=(*code_notes, *made.notes, *services.notes()),
        layer=layer,
    )


class _Report:
    """The mistakes found so far."""

    def __init__(self) -> None:
        self.problems: list[FlowymlError] = []

    def attempt(self, call: Callable[[], Result]) -> Result | None:
        """Return a call's result, or record its error and return None."""
        try:
            return call()
        except InvalidPipelineError as error:
            self.problems += error.problems
        except FlowymlError as error:
            self.problems.append(error)
        return None

    def plan(self, services: RunServices, request: PlanRequest) -> PlannedRun | None:
        return self.attempt(lambda: plan_at(services, request))

    def startable_plan(self, services: RunServices, request: PlanRequest) -> PlannedRun | None:
        """Return a plan whose instance types all have a quota."""
        planned = self.plan(services, request)
        while planned is not None and services.closes_types(planned.plan):
            planned = self.plan(services, request)
        return planned

    def connect(
        self,
        request: RunRequest,
        placement: Placement | None,
        settings: Settings | None,
        project: Project,
    ) -> RunServices | None:
        if placement is None or settings is None:
            return None
        services = connect(placement, settings, project.root)
        self.problems += services.problems()
        return services

    def code(
        self, request: RunRequest, placement: Placement, project: Project, settings: Settings
    ) -> tuple[RunCode | None, Sequence[str]]:
        """Return the code of the run, or None, and notes on its bundle."""
        imported = program_imports(request.steps).users
        if placement.is_in_place:
            bundle = self.attempt(lambda: make_bundle(snapshot_files(project, imported)))
            if bundle is None:
                return None, ()
            program = project.program(in_place=True, imported=imported)
            return RunCode(project, bundle, program, in_place=True), ()
        files = self.attempt(lambda: project_files(project.root, settings.include))
        if files is None:
            return None, ()
        data = folders_of(request.options.input_values)
        files = with_neighbors(files.without(data, imported.values()), imported, project)
        self.problems += client_only_modules(request.steps, project, files.paths.values())
        notes = self.attempt(lambda: bundle_notes(files, bundle_limits(settings)))
        bundle = None if notes is None else self.attempt(lambda: make_bundle(files.paths))
        program = project.program(in_place=False, bundled=files.paths, imported=imported)
        self.problems += secret_arguments(program.arguments)
        if program.script is not None and program.script not in files.paths:
            self.problems.append(_script_not_bundled(program.script))
            return None, ()
        if bundle is None:
            return None, ()
        return RunCode(project, bundle, program, in_place=False), notes or ()

    def payloads(
        self,
        trial: CodeTrial | None,
        groups: Sequence[StepGroup],
        graph: StepGraph,
        request: RunRequest,
    ) -> Payloads:
        if trial is None:
            for group in groups:
                self.attempt(partial(payload_of, group, graph, request.values))
            return Payloads((), ())
        self.problems += trial.problems(request.choices)
        if not groups:
            return Payloads((), ())  # nothing runs
        made = trial.payloads(groups, graph, request.values, request.choices)
        self.problems += made.problems
        return made

    def check_plan(
        self,
        planned: PlannedRun,
        request: RunRequest,
        settings: Settings,
        services: RunServices,
        run_id: str,
    ) -> None:
        limits = self.attempt(lambda: limits_of(settings, request.limits))
        if limits is not None:
            self.problems += over_limits(planned.plan, limits)
            self.problems += unlimited_expansions(planned.plan, limits)
        record = placeholder_record(planned.plan, run_id)
        self.problems += services.plan_problems(planned.plan, record)

    def check_driver(
        self, request: RunRequest, services: RunServices | None, planned: PlannedRun | None
    ) -> None:
        if services is not None and request.detached:
            plan = None if planned is None else planned.plan
            self.problems += services.driver_problems(plan)

    def check_steps(
        self, request: RunRequest, services: RunServices | None, placement: Placement | None
    ) -> None:
        """Check each step of a pipeline that cannot be built, on its own."""
        assets = {asset for step in request.steps for asset in step.assets}
        steps = {step.name for step in request.steps}
        assets |= set(request.options.inputs)
        assets |= {name for step in request.steps for name in step.after if name in steps}
        context = request.values
        for step in request.steps:
            if step.approval is not None:
                continue  # no job runs it
            graph, own_problems = read_graph([step], assets - set(step.assets), context)
            if graph is None or any(isinstance(p, InvalidStepError) for p in own_problems):
                continue
            self.problems += input_problems(graph) + missing_arguments(graph, context)
            try:
                groups = group_steps([step])
            except FlowymlError:
                continue  # its resources are reported with the mistakes of the pipeline
            for group in groups:
                self.attempt(partial(payload_of, group, graph, context))
            # The lists of a mapped step may be unknown; the values of its rows are not.
            alone, _ = expand_maps(BuiltPipeline(graph, groups, graph), {})
            if own_problems or alone is None or services is None or placement is None:
                continue
            self.plan(
                services,
                PlanRequest(request.name, alone.graph, alone.groups, placement, context),
            )


def _script_not_bundled(script: str) -> SettingsError:
    return SettingsError(
        what=f"The script {script} is not in the bundle",
        why="jobs execute it for its steps, and git or .flowymlignore ignores it",
        fix=f"add {script!r} to the setting `include`, or do not ignore it",
    )


def _inputs_without_value(request: RunRequest) -> list[FlowymlError]:
    missing = sorted(set(request.options.inputs).difference(request.options.input_values))
    if not missing:
        return []
    return [
        SettingsError(
            what=f"External inputs without a value: {', '.join(map(repr, missing))}",
            why="names are enough for a plan, but a run needs values",
            fix=f"write inputs={{{missing[0]!r}: …}}",
        )
    ]
