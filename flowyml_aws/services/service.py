"""Protocols of a service, and of the host that the services of a run share."""

from __future__ import annotations

import importlib
from abc import abstractmethod
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.catalog.types import Catalog
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.planning.services import SERVICES
from flowyml_aws.planning.targets import Target
from flowyml_aws.settings.model import Settings
from flowyml_aws.submission.backend import Backend
from flowyml_aws.submission.record import RunRecord

if TYPE_CHECKING:
    from flowyml_aws.services.drivers import DriverJob

__all__ = ["Host", "PlanningHost", "Service", "ServiceType", "service_type"]


class PlanningHost(Protocol):
    """Everything that a plan needs to know about the environment of a run."""

    @property
    def catalog(self) -> Catalog:
        """Instance types and prices."""

    @property
    def earlier_runs(self) -> ArtifactStore | None:
        """Store of earlier runs, or None if it cannot be read."""

    @property
    def image(self) -> str | None:
        """Container image of the jobs, or None if they have none or it is not set."""

    def notes(self, today: date) -> Sequence[str]:
        """Notes for a plan."""


class Host(PlanningHost, Protocol):
    """An environment that runs can be submitted to: this machine, or an AWS account."""

    @property
    def store(self) -> ArtifactStore:
        """Store that the client and all jobs of a run share."""

    def problems(self) -> list[FlowymlError]:
        """Return the reasons why no run can be submitted."""


class Service(Protocol):
    """A service of one host, as the runs of a project use it.

    Implementations inherit from it: a service without checks or a driver needs only `targets` and
    `backend`.
    """

    @abstractmethod
    def targets(self) -> Sequence[Target]:
        """Return the targets that jobs can be sent to.

        Raises:
            FlowymlError: A target does not exist, or AWS denied the call.
        """

    def problems(self) -> list[FlowymlError]:
        """Return the reasons why no job can be submitted, whatever the plan."""
        return []

    def closes_types(self, plan: ExecutionPlan) -> bool:
        """Look up whether the account may start the instance types of a plan.

        Return True if there are types that it may not start: `targets` leaves them out from then
        on, so the plan has to be made again.
        """
        return False

    def notes(self) -> Sequence[str]:
        """Return notes for the plan of a run that is about to be submitted."""
        return ()

    def plan_problems(self, plan: ExecutionPlan, record: RunRecord) -> list[FlowymlError]:
        """Return the reasons why the service would reject jobs of a plan."""
        return []

    def driver_problems(self, plan: ExecutionPlan | None) -> list[FlowymlError]:
        """Return the reasons why a run cannot continue without its client.

        Args:
            plan: Plan of the run; None if it can't be made.
        """
        return []

    def driver_notes(self, plan: ExecutionPlan) -> Sequence[str]:
        """Return notes on the driver of a run that continues without its client."""
        return ()

    @property
    def needs_driver(self) -> bool:
        """True if jobs are submitted only while a client or a driver drives the run."""
        return False

    def start_driver(self, record: RunRecord, plan: ExecutionPlan) -> bool:
        """Start a driver that replaces the client, if the run needs one.

        Return whether it submits the jobs of the run; otherwise the client does.
        """
        return False

    def driver_job(self, plan: ExecutionPlan) -> DriverJob | None:
        """Return the job that can drive a run of a plan; None if there is none."""
        return None

    @abstractmethod
    def backend(self, record: RunRecord, plan: ExecutionPlan) -> Backend:
        """Return the backend for the jobs of a plan, which are all of this service."""


class ServiceType(Protocol):
    """The class of a service, with the operations that need no account."""

    def __call__(self, host: Any) -> Service:
        """Return the service of a host."""

    def host(self, settings: Settings, project: Path | None) -> Host:
        """Return the host that the settings name; `project` is None if no new runs are made."""

    def is_set_up(self, settings: Settings, project: Path) -> bool:
        """Return whether there is a store with runs, or for runs."""

    def offline_targets(self, settings: Settings, catalog: Catalog) -> Sequence[Target]:
        """Return the targets to plan with if no account is set up."""


def service_type(name: str) -> ServiceType:
    """Return the class of a registered service."""
    service: ServiceType = importlib.import_module(f"{SERVICES[name]}.service").SERVICE
    return service
