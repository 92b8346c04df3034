"""Plans without runs: for a pipeline, for one job, and for requirements alone."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from flowyml_aws.caching.cache_on import AdditionReader
from flowyml_aws.caching.entries import CacheEntry
from flowyml_aws.caching.fingerprint import Fingerprinter
from flowyml_aws.caching.lookup import Identities, KeyFacts, find_reuse, identities_of
from flowyml_aws.caching.reuse import Reuse
from flowyml_aws.client.encoded_inputs import (
    EncodedInputs,
    encode_inputs,
    folders_of,
    key_types,
)
from flowyml_aws.client.key_notes import key_notes
from flowyml_aws.client.known_decisions import decision_notes
from flowyml_aws.client.lengths import build
from flowyml_aws.client.request import PlanRequest, RunRequest
from flowyml_aws.core.decision_places import place_decisions
from flowyml_aws.core.distributions import VersionReader
from flowyml_aws.core.environment import environment_problems
from flowyml_aws.core.errors import FlowymlError, InvalidPipelineError, SettingsError
from flowyml_aws.core.gated_graph import without_open_gates
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.known_skips import without_known_branches
from flowyml_aws.core.loading import stop_while_loading
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.core.step import Step
from flowyml_aws.core.step_grouping import StepGroup
from flowyml_aws.packaging.bundle import MIB, BundleLimits, bundle_notes
from flowyml_aws.packaging.environment_notes import ClientEnvironment, environment_notes
from flowyml_aws.packaging.imports import program_imports
from flowyml_aws.packaging.neighbors import with_neighbors
from flowyml_aws.packaging.project import find_project, project_files
from flowyml_aws.planning.alternatives import allowed_moves
from flowyml_aws.planning.batching import (
    batch_of,
    empty_notes,
    planned_maps,
    produced_notes,
    split_group,
)
from flowyml_aws.planning.cost_shares import with_shares
from flowyml_aws.planning.durations import Durations
from flowyml_aws.planning.held import held_notes
from flowyml_aws.planning.history import RunTimes
from flowyml_aws.planning.limits import Limits, over_limits
from flowyml_aws.planning.make import make_plan
from flowyml_aws.planning.needs import Needs, needs_of
from flowyml_aws.planning.placement import Placement
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob, ReusedStep
from flowyml_aws.planning.selection import Selection, select
from flowyml_aws.planning.services import service_traits, services_with_instances
from flowyml_aws.planning.targets import CAPACITY_LABEL, machine_kind
from flowyml_aws.services.connect import connect_to_plan, placement_settings
from flowyml_aws.services.facts import FactServices
from flowyml_aws.services.offline import OfflineServices
from flowyml_aws.services.run_services import RunServices
from flowyml_aws.services.service import PlanningHost
from flowyml_aws.settings.model import Settings
from flowyml_aws.submission.history import MAX_TIMES, read_times

__all__ = [
    "PlannedRun",
    "PreparedRequest",
    "budget_violations",
    "bundle_limits",
    "earlier_times",
    "explain",
    "limits_of",
    "plan_at",
    "plan_only",
    "prepare",
    "rank",
    "with_notices",
]

PlanningServices = RunServices | OfflineServices | FactServices


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A plan, and the values that it is based on.

    Attributes:
        graph: Steps that are executed.
        groups: Their groups, in running order.
        inputs: Encoded external inputs, and folders.
        reuse: Outputs of earlier runs that the run reuses.
        forced: Steps that were not looked up in the cache.
        fingerprinter: Fingerprinter of the steps.
        identities: Identities of the steps.
    """

    plan: ExecutionPlan
    graph: StepGraph
    groups: Sequence[StepGroup]
    inputs: EncodedInputs
    reuse: Reuse
    forced: frozenset[str]
    fingerprinter: Fingerprinter
    identities: Identities


def plan_only(request: RunRequest) -> ExecutionPlan:
    """Return the plan of a request. Without an account, it can use everything that AWS offers.

    Raises:
        InvalidPipelineError: With every mistake found.
        FlowymlError: A setting is invalid, or AWS denied a call.
    """
    stop_while_loading()
    prepared = prepare(request)
    plan = plan_at(prepared.services, prepared.request).plan
    plan = with_shares(allowed_moves(plan, limits_of(prepared.settings, request.limits)))
    plan = with_notices(plan, prepared.settings, request.options.notify)
    if prepared.request.placement.is_in_place:
        return plan
    settings = prepared.settings
    try:
        files = project_files(prepared.project, settings.include)
        imported = program_imports(request.steps).users
        files = files.without(folders_of(request.options.input_values), imported.values())
        files = with_neighbors(files, imported, request.project)
        notes = bundle_notes(files, bundle_limits(settings))
    except SettingsError as error:  # a run would be refused; the plan is still useful
        notes = (f"{error.what} ({error.why}): {error.fix}",)
    return plan.model_copy(update={"notes": (*plan.notes, *notes)})


def plan_at(services: PlanningServices, request: PlanRequest) -> PlannedRun:
    """Return the plan of a request on its services, with the reuse of earlier runs' outputs.

    Raises:
        InvalidPipelineError: No instance type fits a group, or a cache function fails.
        FlowymlError: AWS denied a call.
    """
    host = services.host
    targets = services.targets()
    is_here = request.placement.is_in_place
    free_bytes = shutil.disk_usage(tempfile.gettempdir()).free if is_here else None
    inputs = encode_inputs(request.inputs, host.list_prefix, free_bytes)
    fingerprinter = Fingerprinter(request.choices.carry, request.choices.evaluate)
    key_facts = KeyFacts(
        request.environments,
        AdditionReader(os.environ, request.cache_on),
        _version_readers(request),
        key_types(request.inputs),
    )
    identities = identities_of(
        request.name, request.graph, request.context, fingerprinter, key_facts
    )
    input_identities = {asset: value.identity for asset, value in inputs.values.items()}
    earlier = host.earlier_runs
    machines: dict[str, str] = {}
    for group in request.groups:
        needs = needs_of(group.aggregated_resources)
        backend, image = request.placement.backend_of(group), group.options.image
        kind = machine_kind(backend, needs, image)
        machines.update((step.name, kind) for step in group.steps)
    reuse = find_reuse(
        earlier,
        request.graph,
        identities.known,
        input_identities,
        request.forced,
        machines,
        request.cases,
        request.results,
    )
    graph, decided = without_known_branches(request.graph.only(reuse.runs), reuse.cases)
    graph = without_open_gates(graph, reuse.cases)
    history = earlier_times(services, request.name)
    running = place_decisions(
        [
            part.replacing(decided)
            for group in request.groups
            if (part := group.only(reuse.runs)) is not None
        ],
        graph,
    )
    durations = Durations(history)
    traits = [service_traits(request.placement.backend_of(group)) for group in running]
    batches = [
        batch_of(group, durations, service.startup_s, service.most_jobs_of_a_map)
        for group, service in zip(running, traits, strict=True)
    ]
    groups = [
        part
        for group, batch in zip(running, batches, strict=True)
        for part in split_group(group, batch)
    ]
    all_assets = {asset for step in graph.steps for asset in step.assets}
    plan = make_plan(
        request.name,
        request.placement,
        graph,
        groups,
        targets,
        host.catalog,
        history,
        all_assets if request.stores_all else {*reuse.stored, *request.results},
        request.environment,
        request.secrets,
        request.spot,
        inputs.data,
    )
    notes = [
        *plan.notes,
        *inputs.notes,
        *held_notes(plan),
        *request.notes,
        *decision_notes(request.cases),
        *empty_notes(request.empty_maps),
        *produced_notes(groups, graph, request.length_runs),
        *reuse.notes,
        *environment_notes(plan, graph.steps, ClientEnvironment.this()),
        *key_notes(plan, identities, request.pins.source),
        *host.notes(datetime.now(timezone.utc).date()),
    ]
    reused = {
        step.name: _reused(step, reuse.entries.get(step.name), reuse.skipped.get(step.name))
        for step in request.graph.steps
        if step.name not in reuse.runs
    }
    facts = {
        "notes": tuple(notes),
        "reused": reused,
        "image": _image_of(host),
        "debug_shell": request.debug_shell,
        "maps": planned_maps(request.graph, running, batches, request.empty_maps),
    }
    plan = plan.model_copy(update=facts)
    return PlannedRun(plan, graph, groups, inputs, reuse, request.forced, fingerprinter, identities)


def earlier_times(
    services: PlanningServices, pipeline: str, limit: int = MAX_TIMES
) -> Sequence[RunTimes]:
    """Return the records of the latest runs of a pipeline, newest first; none without an account.

    Args:
        services: Services of the plan.
        pipeline: Name of the pipeline.
        limit: Largest number of records.
    """
    earlier = services.host.earlier_runs
    return read_times(earlier, pipeline, limit) if earlier is not None else ()


def bundle_limits(settings: Settings) -> BundleLimits:
    """Return the size limits of a bundle."""
    return BundleLimits(max_total_bytes=settings.max_bundle_mib * MIB)


def limits_of(settings: Settings, limits: Limits) -> Limits:
    """Return the limits; a limit that is not set is taken from the settings."""
    price, cost = limits.price_usd_hour, limits.cost_usd  # 0 is a limit, too
    return Limits(
        settings.max_price_usd_hour if price is None else price,
        settings.max_cost_usd if cost is None else cost,
    )


def with_notices(
    plan: ExecutionPlan, settings: Settings, recipients: Sequence[str] | None
) -> ExecutionPlan:
    """Return the plan with the recipients of notices; those of the settings for None."""
    chosen = settings.notify if recipients is None else recipients
    return plan.model_copy(update={"notify": tuple(dict.fromkeys(chosen))})


def budget_violations(plan: ExecutionPlan, request: RunRequest) -> list[FlowymlError]:
    """Return an error for each cost limit that a plan exceeds."""
    project = request.project.root
    settings = placement_settings(project, request.placement(project))
    return over_limits(plan, limits_of(settings, request.limits))


def explain(request: RunRequest, job: str) -> tuple[PlannedJob, Selection]:
    """Return a job of a plan without reuse, and the selection of its instance type.

    Raises:
        SettingsError: The plan has no such job, or the job has no instance type.
        InvalidPipelineError: The pipeline has mistakes, or no instance type fits a group.
        FlowymlError: A setting is invalid, or AWS denied a call.
    """
    prepared = prepare(request)
    checked, services = prepared.request, prepared.services
    targets, catalog = services.targets(), services.host.catalog
    plan = make_plan(
        request.name,
        checked.placement,
        checked.graph,
        checked.groups,
        targets,
        catalog,
        earlier_times(services, request.name),
        environment=checked.environment,
        secrets=checked.secrets,
        spot=checked.spot,
    )
    jobs = {planned.name: planned for planned in plan.jobs}
    if job not in jobs:
        raise SettingsError(
            what=f"The plan of {request.name!r} has no job {job!r}",
            why=f"its jobs are {', '.join(jobs)}",
            fix=did_you_mean(job, jobs, "name one of them"),
        )
    _require_instances(jobs[job].backend)
    own_targets = [target for target in targets if target.kind == jobs[job].backend]
    return jobs[job], select(jobs[job].needs, own_targets, catalog)


def rank(needs: Needs, backend: str, spot: bool = False) -> tuple[Selection, Sequence[str]]:
    """Return the instance types that fit requirements, and notes on the assumptions.

    Args:
        needs: Requirements of a job.
        backend: `batch` or `sagemaker`.
        spot: Whether only spot capacity is considered.

    Raises:
        NoInstanceFitsError: No type fits; the error names the nearest ones.
        FlowymlError: A setting is invalid, or AWS denied a call.
    """
    placement = Placement.of(backend)
    _require_instances(backend)
    project = find_project([]).root
    services = connect_to_plan(placement, placement_settings(project, placement), project)
    targets = services.targets()
    if spot:
        needs = replace(needs, required=(*needs.required, (CAPACITY_LABEL, "spot")))
        # For targets whose types the plan selects, both capacities are available.
        targets = [replace(t, capacity="spot") if t.placed_by == "plan" else t for t in targets]
    notes = services.host.notes(datetime.now(timezone.utc).date())
    return select(needs, targets, services.host.catalog), notes


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """A request without mistakes, with what its plan is made from."""

    request: PlanRequest
    services: PlanningServices
    settings: Settings
    project: Path


def prepare(request: RunRequest) -> PreparedRequest:
    """Return what a plan is made from.

    Raises:
        InvalidPipelineError: With every mistake that needs no account.
        FlowymlError: A setting is invalid, or AWS denied a call.
    """
    project = request.project.root
    placement: Placement | None = None
    pipeline, problems = build(request)
    try:
        placement = request.placement(project)
    except FlowymlError as error:
        problems.append(error)
    problems += request.problems(pipeline, placement)
    if problems or pipeline is None or placement is None:
        raise InvalidPipelineError(request.name, problems)
    settings = placement_settings(project, placement)
    if problems := environment_problems(settings.env, "the setting `env`"):
        raise InvalidPipelineError(request.name, problems)
    services = connect_to_plan(placement, settings, project)
    pins = request.pins(settings)
    plan_request = request.plan(pipeline, placement, settings, pins)
    return PreparedRequest(plan_request, services, settings, project)


def _version_readers(request: PlanRequest) -> dict[str, VersionReader]:
    rule, pinned = request.cache_versions, request.pins.versions
    readers = {
        name: VersionReader(rule, pinned, is_here=not service_traits(name).needs_bundle)
        for name in request.placement.backends
    }
    return {
        step.name: readers[request.placement.backend_of(group)]
        for group in request.groups
        for step in group.steps
    }


def _require_instances(backend: str) -> None:
    if service_traits(backend).hosted is None:
        others = " or ".join(services_with_instances())
        raise SettingsError(
            what=f"Backend {backend!r} has no instance types",
            why=f"its jobs use {service_traits(backend).title}",
            fix=f"select --backend {others}",
        )


def _reused(step: Step, entry: CacheEntry | None, cause_of_skip: str | None) -> ReusedStep:
    if cause_of_skip is not None:
        return ReusedStep(produces=step.assets, skipped=dict.fromkeys(step.assets, cause_of_skip))
    if entry is None:
        return ReusedStep(produces=step.assets)
    assets = entry.of_item(step.outputs_by_own_name).assets
    return ReusedStep(produces=step.assets, run_id=entry.run_id, assets=assets)


def _image_of(host: PlanningHost) -> str | None:
    try:
        return host.image
    except FlowymlError:  # a note reports it
        return None
