"""Preflight: all checks before a run is submitted, which find all mistakes at once."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, TypeVar

from flowyml_aws.core.environment import environment_problems
from flowyml_aws.core.errors import (
    FlowymlError,
    InvalidPipelineError,
    InvalidStepError,
    SettingsError,
    UnpicklableStepError,
)
from flowyml_aws.core.graph import StepGraph, read_graph
from flowyml_aws.core.identity import context_read
from flowyml_aws.core.importing import refuse_while_importing
from flowyml_aws.core.parameters import missing_arguments
from flowyml_aws.core.step_grouping import StepGroup, group_steps
from flowyml_aws.packaging.bundle import SourceBundle, bundle_notes, make_bundle
from flowyml_aws.packaging.modules import client_only_modules
from flowyml_aws.packaging.payload import StepPayload, make_payload
from flowyml_aws.packaging.project import Project, project_files
from flowyml_aws.packaging.requirements import resolve_requirements
from flowyml_aws.planning.limits import over_limits
from flowyml_aws.planning.placement import Placement
from flowyml_aws.planning.services import service_traits
from flowyml_aws.preview import PlannedRun, bundle_limits, limits_of, plan_at
from flowyml_aws.request import PlanRequest, RunRequest
from flowyml_aws.runtime.spec import PackageLayer
from flowyml_aws.services.connect import connect, placement_settings
from flowyml_aws.services.run_services import RunServices
from flowyml_aws.settings import Settings
from flowyml_aws.submission.package import placeholder_record
from flowyml_aws.submission.record import make_run_id

__all__ = ["CheckedRequest", "preflight"]

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class CheckedRequest:
    """A request without mistakes, with everything that its submission needs.

    Attributes:
        graph: All steps, also those that are reused.
        payloads: Pickled steps of each job, in plan order.
        bundle: The project's files, or None if jobs run in the project's own folder.
        bundle_notes: Notes on large files and on files that are left out.
        layer: Packages that jobs install, or None.
    """

    request: RunRequest
    run_id: str
    project: Project
    settings: Settings
    services: RunServices
    graph: StepGraph
    planned: PlannedRun
    payloads: Sequence[StepPayload]
    bundle: SourceBundle | None
    bundle_notes: tuple[str, ...]
    layer: PackageLayer | None


def preflight(request: RunRequest) -> CheckedRequest:
    """Check a request completely: options, steps, settings, account, plan, code and packages.

    A pipeline that cannot be built is checked step by step, so that its other mistakes are in
    the same report.

    Raises:
        InvalidPipelineError: With every mistake; nothing was written or submitted.
    """
    refuse_while_importing()
    report = _Report()
    project = request.project
    pipeline, problems = request.build()
    report.problems += problems
    placement = report.attempt(lambda: request.placement(project.root))
    report.problems += request.problems(pipeline, placement)
    report.problems += _inputs_without_value(request)
    settings = services = bundle = layer = None
    if placement is not None:
        settings = report.attempt(lambda: placement_settings(project.root, placement))
    if placement is not None and settings is not None:
        report.problems += environment_problems(settings.env, "the setting `env`")
        services = connect(placement, settings, project.root)
        report.problems += services.problems()
        if any(service_traits(name).needs_bundle for name in placement.backends):
            bundle = report.bundle(request, project, settings)
            if settings.requirements:
                layer = report.attempt(lambda: resolve_requirements(settings.requirements))
        if request.detached:
            report.problems += services.driver_problems()
    if pipeline is None:
        report.check_steps(request, services, placement)
        raise InvalidPipelineError(request.name, report.problems)

    report.problems += missing_arguments(pipeline.graph, request.values)
    planned = None
    run_id = make_run_id(request.name, datetime.now(timezone.utc), secrets.token_hex)
    if services is not None and settings is not None and placement is not None:
        planned = report.plan(services, request.plan(pipeline, placement, settings))
        if planned is not None:
            report.check_plan(planned, request, settings, services, run_id)
    groups = pipeline.groups if planned is None else planned.groups
    payloads = [report.payload(group, pipeline.graph, request.values) for group in groups]
    if report.problems:
        raise InvalidPipelineError(request.name, report.problems)
    assert settings is not None and services is not None and planned is not None
    return CheckedRequest(
        request=request,
        run_id=run_id,
        project=project,
        settings=settings,
        services=services,
        graph=pipeline.graph,
        planned=planned,
        payloads=[payload for payload in payloads if payload is not None],
        bundle=bundle[0] if bundle is not None else None,
        bundle_notes=bundle[1] if bundle is not None else (),
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

    def bundle(
        self, request: RunRequest, project: Project, settings: Settings
    ) -> tuple[SourceBundle, tuple[str, ...]] | None:
        files = self.attempt(lambda: project_files(project.root, settings.include))
        if files is None:
            return None
        self.problems += client_only_modules(request.steps, project, files.paths.values())
        notes = self.attempt(lambda: bundle_notes(files, bundle_limits(settings)))
        bundle = None if notes is None else self.attempt(lambda: make_bundle(files.paths))
        return None if bundle is None else (bundle, notes or ())

    def payload(
        self, group: StepGroup, graph: StepGraph, context: Mapping[str, Any]
    ) -> StepPayload | None:
        # Values that no step of the group reads need not travel, nor be picklable.
        read = {name for step in group.steps for name in context_read(step, graph, context)}
        values = {name: value for name, value in context.items() if name in read}
        try:
            return make_payload(group.steps, values)
        except UnpicklableStepError as error:
            self.problems.append(error)
            return None

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
        record = placeholder_record(planned.plan, run_id)
        self.problems += services.plan_problems(planned.plan, record)

    def check_steps(
        self, request: RunRequest, services: RunServices | None, placement: Placement | None
    ) -> None:
        """Check each step of a pipeline that cannot be built, on its own."""
        assets = {asset for step in request.steps for asset in step.assets}
        assets |= set(request.options.inputs)
        context = request.values
        for step in request.steps:
            graph, own_problems = read_graph([step], assets - set(step.assets))
            if graph is None or any(isinstance(p, InvalidStepError) for p in own_problems):
                continue
            self.problems += missing_arguments(graph, context)
            groups = group_steps([step])
            for group in groups:
                self.payload(group, graph, context)
            if not own_problems and services is not None and placement is not None:
                alone = PlanRequest(request.name, graph, groups, placement, context)
                self.plan(services, alone)


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
