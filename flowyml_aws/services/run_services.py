"""The services of one run, used as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.planning.targets import Target
from flowyml_aws.services.drivers import DriverJob
from flowyml_aws.services.service import Host, Service
from flowyml_aws.submission.backend import Backend
from flowyml_aws.submission.record import RunRecord
from flowyml_aws.submission.routing import RoutedBackend

__all__ = ["RunServices"]


@dataclass(frozen=True)
class RunServices:
    """The services of one run, and the host that they share.

    Attributes:
        services: Services by name.
    """

    host: Host
    services: Mapping[str, Service]

    def targets(self) -> Sequence[Target]:
        """Return the targets of all services.

        Raises:
            FlowymlError: A target does not exist, or AWS denied the call.
        """
        return [target for service in self.services.values() for target in service.targets()]

    def problems(self) -> list[FlowymlError]:
        """Return the reasons why nothing can be submitted, whatever the plan."""
        own = [problem for service in self.services.values() for problem in service.problems()]
        return [*self.host.problems(), *own]

    def closes_types(self, plan: ExecutionPlan) -> bool:
        """Return whether the account may not start some types of a plan, as of now."""
        return any(service.closes_types(plan) for service in self.services.values())

    def notes(self) -> Sequence[str]:
        """Return notes of all services for the plan of a run that is about to be submitted."""
        return [note for service in self.services.values() for note in service.notes()]

    def plan_problems(self, plan: ExecutionPlan, record: RunRecord) -> list[FlowymlError]:
        """Return the reasons why a service would reject jobs of a plan."""
        services = self.services.values()
        return [problem for each in services for problem in each.plan_problems(plan, record)]

    def driver_problems(self, plan: ExecutionPlan | None) -> list[FlowymlError]:
        """Return the reasons why a run cannot continue without its client.

        Args:
            plan: Plan of the run; None if it can't be made.
        """
        return self._driven_by.driver_problems(plan)

    def driver_notes(self, plan: ExecutionPlan) -> Sequence[str]:
        """Return notes on the driver of a run that continues without its client."""
        return self._driven_by.driver_notes(plan)

    def start_driver(self, record: RunRecord, plan: ExecutionPlan) -> bool:
        """Start one driver for the run, if it needs one.

        Return whether the driver submits the jobs of the run; otherwise the client does.
        """
        return self._driven_by.start_driver(record, plan)

    def driver_job(self, plan: ExecutionPlan) -> DriverJob | None:
        """Return the job that can drive a run of a plan; None if there is none."""
        return self._driven_by.driver_job(plan)

    @property
    def _driven_by(self) -> Service:
        """The service whose driver drives all jobs of the run."""
        return max(self.services.values(), key=lambda service: service.needs_driver)

    def backend(self, record: RunRecord, plan: ExecutionPlan) -> Backend:
        """Return the backend of a run: that of its only service, or one that routes jobs."""
        names = sorted({job.backend for job in plan.jobs}) or [next(iter(self.services))]
        if len(names) == 1:
            return self.services[names[0]].backend(record, plan)
        backends = {name: self.services[name].backend(record, plan.on(name)) for name in names}
        return RoutedBackend(plan, backends)
