"""Composition root of the client: from settings to the services, stores and runs that they name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path

from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.errors import RunNotFoundError
from flowyml_aws.packaging.project import find_project
from flowyml_aws.planning.placement import Placement
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.planning.services import SERVICES, service_traits
from flowyml_aws.services.account import Account
from flowyml_aws.services.notices import notify_end
from flowyml_aws.services.offline import OfflineServices
from flowyml_aws.services.run_services import RunServices
from flowyml_aws.services.service import Host, service_type
from flowyml_aws.settings.load import load_settings
from flowyml_aws.settings.model import Settings
from flowyml_aws.submission.backend import Backend
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.record import (
    RunRecord,
    created_at,
    read_plan,
    read_record,
    run_ids,
    slug_of,
)
from flowyml_aws.submission.run_names import (
    is_complete,
    matching_runs,
    names_newest,
    pipeline_of,
    unknown_run,
)

__all__ = [
    "FoundRun",
    "account_settings",
    "connect",
    "connect_to_plan",
    "find_run",
    "locate_run",
    "placement_settings",
    "stores",
]


def account_settings(project: Path) -> Settings:
    """Return the settings of a project, on top of those that its AWS account provides.

    Raises:
        SettingsError: A name is unknown or a value malformed, or the account has no settings.
        AwsRefusedError: Reading the account's settings is denied.
    """
    settings = load_settings(project, os.environ)
    if settings.account is None:
        return settings
    account = Account(settings).with_account_settings(
        lambda parameter: load_settings(project, os.environ, parameter)
    )
    return account.settings


def placement_settings(project: Path, placement: Placement) -> Settings:
    """Return the settings for a run. AWS is not called for a run on this machine.

    Raises:
        SettingsError: A name is unknown or a value malformed, or the account has no settings.
        AwsRefusedError: Reading the account's settings is denied.
    """
    if placement.host == "account":
        return account_settings(project)
    return load_settings(project, os.environ)


def connect(placement: Placement, settings: Settings, project: Path) -> RunServices:
    """Return the services of a run, with the host that they share."""
    names = placement.backends
    return _services(names, service_type(names[0]).host(settings, project))


def connect_to_plan(
    placement: Placement, settings: Settings, project: Path
) -> RunServices | OfflineServices:
    """Return the services for a plan; without an account, offline services."""
    if placement.host == "account" and settings.store is None:
        return OfflineServices(settings, placement.backends)
    return connect(placement, settings, project)


def stores(settings: Settings, project: Path) -> Mapping[str, ArtifactStore]:
    """Return the stores that are set up, by the name of each service that uses them."""
    by_service: dict[str, ArtifactStore] = {}
    for names in _hosts(settings, project):
        store = service_type(names[0]).host(settings, project).store
        by_service.update(dict.fromkeys(names, store))
    return by_service


@dataclass(frozen=True, slots=True)
class FoundRun:
    """A run that is stored, with its services.

    Attributes:
        settings: Settings of the project.
    """

    record: RunRecord
    plan: ExecutionPlan
    services: RunServices
    settings: Settings

    def driver(self) -> RunDriver:
        """Return a driver of the run, which sends its notices."""
        store, notify = self.services.host.store, self.plan.notify
        backend = self.services.backend(self.record, self.plan)
        return RunDriver(
            store,
            self.record,
            self.plan,
            backend,
            self.settings.allow_pickle,
            capacity_wait_s=self.settings.capacity_wait_s,
            on_end=[partial(notify_end, store, notify, self.settings.region)] if notify else [],
            backend_of=self._backend_of,
        )

    def containing(self, name: str) -> tuple[FoundRun, str]:
        """Return the run that contains a job or step, and its name there.

        Args:
            name: Same as in `RunDriver.containing`.

        Raises:
            RunNotFoundError: A dynamic step has not returned a pipeline.
        """
        driver, inner = self.driver().containing(name)
        run_id = driver.record.run_id
        return (self if run_id == self.record.run_id else locate_run(run_id)), inner

    def _backend_of(self, record: RunRecord, plan: ExecutionPlan) -> Backend:
        """Return the backend of a sub-run of this one."""
        names = {job.backend for job in plan.jobs} or self.services.services
        return _services(sorted(names), self.services.host).backend(record, plan)


def find_run(name: str) -> RunDriver:
    """Return a driver of the run with this name, from any store that is set up.

    Raises:
        RunNotFoundError: No store contains it, or several runs have this name.
    """
    return locate_run(name).driver()


def locate_run(name: str) -> FoundRun:
    """Return the run with this name, from any store that is set up.

    A complete id costs a request for each store. Any other name lists the runs of all stores.

    Args:
        name: Id of the run, its first characters if no other id has them, `latest`, or
            `latest:PIPELINE`.

    Raises:
        RunNotFoundError: No store contains it, or several runs have this name.
    """
    project = find_project([]).root
    settings = account_settings(project)
    places: list[_Place] = []
    for names in _hosts(settings, project):
        places.append(place := _place(names, settings, project))
        if is_complete(name) and (record := _record(place.host.store, name)) is not None:
            return place.found(record)
    place_of = {run_id: place for place in reversed(places) for run_id in run_ids(place.host.store)}
    pipeline = pipeline_of(name)
    for _, run_names in groupby(matching_runs(name, place_of), created_at):
        # A run has no record if its client died before it was submitted.
        records = [_record(place_of[run_id].host.store, run_id) for run_id in run_names]
        named = [
            record
            for record in records
            if record is not None
            and (record.parent is None or not names_newest(name))
            and pipeline in (None, record.pipeline, slug_of(record.pipeline))
        ]
        if named:  # ids have the time in seconds, and records the precise time
            newest = max(named, key=lambda record: record.created_at)
            return place_of[newest.run_id].found(newest)
    searched = " and ".join(place.host.store.uri for place in places)
    none = f"no store is set up, and {project} contains no runs"
    raise unknown_run(name, place_of, f"searched {searched}" if searched else none)


@dataclass(frozen=True, slots=True)
class _Place:
    """A host that may contain runs.

    Attributes:
        names: Names of its services.
        root: Project of new runs; None if there are none.
    """

    host: Host
    names: Sequence[str]
    settings: Settings
    root: Path | None

    def found(self, record: RunRecord) -> FoundRun:
        plan = read_plan(self.host.store, record.run_id)
        host = self.host
        if plan.image and not host.image:
            settings = replace(self.settings, image=plan.image)
            host = service_type(self.names[0]).host(settings, self.root)
        # A plan without jobs uses any service of the host.
        names = sorted({job.backend for job in plan.jobs}) or self.names[:1]
        return FoundRun(record, plan, _services(names, host), self.settings)


def _place(names: Sequence[str], settings: Settings, project: Path) -> _Place:
    # No new runs: jobs of AWS do not need the project, which may be another one here.
    root = None if service_traits(names[0]).needs_bundle else project
    return _Place(service_type(names[0]).host(settings, root), names, settings, root)


def _record(store: ArtifactStore, run_id: str) -> RunRecord | None:
    try:
        return read_record(store, run_id)
    except RunNotFoundError:
        return None


def _services(names: Iterable[str], host: Host) -> RunServices:
    return RunServices(host, {name: service_type(name)(host) for name in names})


def _hosts(settings: Settings, project: Path) -> list[list[str]]:
    """Return the names of the services of each host that is set up."""
    hosts: dict[str, list[str]] = {}
    for name in SERVICES:
        if service_type(name).is_set_up(settings, project):
            hosts.setdefault(service_traits(name).host, []).append(name)
    return list(hosts.values())
