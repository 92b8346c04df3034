"""Composition root of the client: from settings to the services, stores and runs that they name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.errors import RunNotFoundError
from flowyml_aws.packaging.project import find_project
from flowyml_aws.planning.placement import Placement
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.planning.services import SERVICES, service_traits
from flowyml_aws.services.account import Account
from flowyml_aws.services.offline import OfflineServices
from flowyml_aws.services.run_services import RunServices
from flowyml_aws.services.service import Host, service_type
from flowyml_aws.settings.load import load_settings
from flowyml_aws.settings.model import Settings
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.record import RunRecord, read_plan, read_record

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
        """Return a driver of the run."""
        backend = self.services.backend(self.record, self.plan)
        return RunDriver(
            self.services.host.store,
            self.record,
            self.plan,
            backend,
            self.settings.allow_pickle,
            capacity_wait_s=self.settings.capacity_wait_s,
        )


def find_run(run_id: str) -> RunDriver:
    """Return a driver of the run with this id, from any store that is set up.

    Raises:
        RunNotFoundError: No store contains it.
    """
    return locate_run(run_id).driver()


def locate_run(run_id: str) -> FoundRun:
    """Return the run with this id, from any store that is set up.

    Raises:
        RunNotFoundError: No store contains it.
    """
    project = find_project([]).root
    settings = account_settings(project)
    searched = []
    for names in _hosts(settings, project):
        # No new runs: jobs of AWS do not need the project, which may be another one here.
        root = None if service_traits(names[0]).needs_bundle else project
        host = service_type(names[0]).host(settings, root)
        try:
            record = read_record(host.store, run_id)
        except RunNotFoundError:
            searched.append(host.store.uri)
            continue
        plan = read_plan(host.store, run_id)
        if plan.image and not host.image:
            host = service_type(names[0]).host(replace(settings, image=plan.image), root)
        # A plan without jobs uses any service of the host.
        services = _services(sorted({job.backend for job in plan.jobs}) or names[:1], host)
        return FoundRun(record, plan, services, settings)
    raise RunNotFoundError(
        what=f"No run {run_id!r}",
        why=f"searched {' and '.join(searched)}"
        if searched
        else f"no store is set up, and {project} contains no runs",
        fix="list the runs with `flowyml-aws runs` in the project's folder; for runs on AWS, set "
        "FLOWYML_AWS_STORE",
    )


def _services(names: Iterable[str], host: Host) -> RunServices:
    return RunServices(host, {name: service_type(name)(host) for name in names})


def _hosts(settings: Settings, project: Path) -> list[list[str]]:
    """Return the names of the services of each host that is set up."""
    hosts: dict[str, list[str]] = {}
    for name in SERVICES:
        if service_type(name).is_set_up(settings, project):
            hosts.setdefault(service_traits(name).host, []).append(name)
    return list(hosts.values())
