"""Submission of a run: check everything, write its documents, then submit its jobs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from flowyml_aws.artifacts.transfer import save_encoded
from flowyml_aws.caching.entries import keep_entry
from flowyml_aws.caching.run_keys import make_keys
from flowyml_aws.client.preflight import CheckedRequest, preflight
from flowyml_aws.client.preview import limits_of, with_notices
from flowyml_aws.client.request import RunRequest
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.core.time_spans import seconds_of
from flowyml_aws.planning.alternatives import allowed_moves
from flowyml_aws.planning.cost_shares import with_shares
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.runtime.layer import pin_layer
from flowyml_aws.services.connect import FoundRun
from flowyml_aws.services.run_services import RunServices
from flowyml_aws.settings.model import Settings
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.item_parameters import item_parameters
from flowyml_aws.submission.origin import find_origin
from flowyml_aws.submission.own_runs import remember_run
from flowyml_aws.submission.package import RunPackage, job_specs, write_package, write_record
from flowyml_aws.submission.record import RunRecord, SpecPlace

__all__ = ["begin", "final_plan", "launch", "write_documents"]


@dataclass(frozen=True, slots=True)
class _PackagedRun:
    """A run in the store that has no record yet.

    Attributes:
        specs: Place of each job's spec.
        created_at: Seconds since the epoch.
    """

    run_id: str
    services: RunServices
    plan: ExecutionPlan
    specs: Mapping[str, SpecPlace]
    created_at: float
    settings: Settings


def launch(request: RunRequest) -> RunDriver:
    """Write a run to the store and submit the jobs that are ready.

    Raises:
        InvalidPipelineError: With every mistake; nothing was written or submitted.
    """
    # With many jobs, their code takes more memory than the plan, and nothing needs it any more.
    run = _package(request)
    store = run.services.host.store
    record = write_record(store, run.plan, run.specs, run.run_id, run.created_at)
    return begin(run.services, record, run.plan, run.settings, request.detached)


def _package(request: RunRequest) -> _PackagedRun:
    checked = preflight(request)
    now = time.time()
    plan = final_plan(checked)
    places = write_documents(checked, plan, now)
    return _PackagedRun(checked.run_id, checked.services, plan, places, now, checked.settings)


def final_plan(checked: CheckedRequest) -> ExecutionPlan:
    """Return the plan of a run that is about to be written."""
    request, services, plan = checked.request, checked.services, checked.planned.plan
    plan = with_shares(allowed_moves(plan, limits_of(checked.settings, request.limits)))
    plan = with_notices(plan, checked.settings, request.options.notify)
    driver_notes = services.driver_notes(plan) if request.detached else ()
    notes = (*plan.notes, *checked.notes, *driver_notes)
    return plan.model_copy(update={"notes": notes})


def write_documents(
    checked: CheckedRequest, plan: ExecutionPlan, now: float
) -> Mapping[str, SpecPlace]:
    """Write everything that the jobs of a run read. Return the place of each job's spec.

    Args:
        checked: The run.
        plan: Its final plan.
        now: Seconds since the epoch.
    """
    request, services, planned = checked.request, checked.services, checked.planned
    store, reuse = services.host.store, planned.reuse
    for entry in reuse.entries.values():
        with suppress(FlowymlError, OSError):  # only garbage collection reads it
            keep_entry(store, entry, now)
    package = _package_of(checked)
    specs = job_specs(plan, planned.graph, package, reuse, checked.run_id, store.uri)
    incomplete = planned.identities.incomplete
    keys = make_keys(
        checked.graph,
        reuse,
        planned.forced,
        planned.fingerprinter,
        incomplete,
        checked.request.values,
    )
    remember_run(store.uri, checked.run_id)
    items = item_parameters(checked.graph, checked.items)
    origin = find_origin(request.project.root, request.values, items)
    return write_package(store, package, specs, keys, checked.run_id, origin)


def begin(
    services: RunServices,
    record: RunRecord,
    plan: ExecutionPlan,
    settings: Settings,
    detached: bool,
) -> RunDriver:
    """Submit the first jobs of a run that is written, or start a driver that does so.

    Args:
        services: Services of the run.
        record: Record of the run.
        plan: Plan of the run.
        settings: Settings of the project.
        detached: Whether the run must continue without its client.
    """
    driver = FoundRun(record, plan, services, settings).driver()
    if not (detached and services.start_driver(record, plan)):
        driver.start()
    return driver


def _package_of(checked: CheckedRequest) -> RunPackage:
    planned, store = checked.planned, checked.services.host.store
    idle = checked.request.options.stop_idle_gpu
    external = planned.graph.external_inputs
    inputs = [value for asset, value in planned.inputs.items() if asset in external]
    saved = save_encoded(store, inputs)
    names = (job.name for job in planned.plan.jobs)
    return RunPackage(
        code=checked.code,
        payloads=dict(zip(names, checked.payloads, strict=True)),
        external_inputs={**planned.reuse.refs, **saved},
        layer=None if checked.layer is None else pin_layer(store, checked.layer),
        store_wait_s=checked.settings.store_wait_s,
        stop_idle_gpu_s=checked.settings.stop_idle_gpu if idle is None else seconds_of(idle),
    )
