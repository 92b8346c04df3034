"""A backend that routes each job to the backend of its service."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial

from flowyml_aws.core.errors import AwsRefusedError, FlowymlError
from flowyml_aws.core.findings import Finding
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
from flowyml_aws.submission.backend import (
    Backend,
    Bills,
    Diagnoses,
    JobStatus,
    Leftovers,
    LogLine,
    Moves,
    Repeats,
    Samples,
    Shells,
    ShellSession,
    no_shells,
)
from flowyml_aws.submission.bills import JobBills

__all__ = ["RoutedBackend"]


class RoutedBackend:
    """The jobs of one run at several services, routed by the backend named in the plan.

    Args:
        plan: The run's plan.
        backends: Backends by name; each has the plan of its own jobs.
    """

    def __init__(self, plan: ExecutionPlan, backends: Mapping[str, Backend]) -> None:
        self._plan = plan
        self._backends = backends
        self._backend_names = {job.name: job.backend for job in plan.jobs}

    def submit(self, jobs: Sequence[PlannedJob], succeeded: Collection[str]) -> None:
        """Offer each backend those of its jobs that wait for no job at another service.

        A backend orders its own jobs, and does not know the jobs at other services.
        """
        free = self._free(set(succeeded))
        for name, backend in self._backends.items():
            routed = [job for job in jobs if job.backend == name and job.name in free]
            if routed:
                backend.submit(routed, succeeded)

    def statuses(self) -> Mapping[str, JobStatus]:
        return {
            job: status
            for backend in self._backends.values()
            for job, status in backend.statuses().items()
        }

    def logs(self, job: str, cursor: str | None) -> tuple[list[LogLine], str | None]:
        return self._backends[self._backend_names[job]].logs(job, cursor)

    def cancel(self, jobs: Sequence[PlannedJob]) -> Sequence[str]:
        """Cancel the jobs of each service, also if one of them refuses."""
        return _from_each(
            partial(backend.cancel, [job for job in jobs if job.backend == name])
            for name, backend in self._backends.items()
        )

    def end_leftovers(self, finished: Collection[str]) -> Sequence[str]:
        return _from_each(
            partial(backend.end_leftovers, finished)
            for backend in self._backends.values()
            if isinstance(backend, Leftovers)
        )

    def is_active(self, jobs: Sequence[PlannedJob]) -> bool:
        """Return True if a service shows an active job; services that can't are left out."""
        return any(
            backend.is_active([job for job in jobs if job.backend == name])
            for name, backend in self._backends.items()
            if isinstance(backend, Samples)
        )

    def move(self, plan: ExecutionPlan) -> None:
        self._plan = plan
        for name, backend in self._backends.items():
            if isinstance(backend, Repeats):
                backend.move(plan.on(name))

    def withdraw(self, job: str) -> None:
        backend = self._backends[self._backend_names[job]]
        if isinstance(backend, Moves):
            backend.withdraw(job)

    def release(self) -> None:
        for backend in self._backends.values():
            backend.release()

    def bills(self) -> JobBills:
        bills = [
            backend.bills() for backend in self._backends.values() if isinstance(backend, Bills)
        ]
        known = {job: bill for each in bills for job, bill in each.known.items()}
        return JobBills(known, frozenset(job for each in bills for job in each.awaited))

    def diagnose(self) -> Mapping[str, Sequence[Finding]]:
        return {
            job: findings
            for backend in self._backends.values()
            if isinstance(backend, Diagnoses)
            for job, findings in backend.diagnose().items()
        }

    def open_shell(self, job: str, node: int, shell: str) -> ShellSession:
        name = self._backend_names[job]
        backend = self._backends[name]
        if not isinstance(backend, Shells):
            raise no_shells(job, name)
        return backend.open_shell(job, node, shell)

    def pause(self) -> None:
        """Wait as the first backend does: all of them are polled about equally often."""
        next(iter(self._backends.values())).pause()

    def _free(self, succeeded: set[str]) -> set[str]:
        """Return the jobs whose unfinished ancestors are all at the job's own service."""
        free: set[str] = set()
        for job in self._plan.jobs:  # parents come before their children
            if all(
                parent in succeeded
                or (parent in free and self._backend_names[parent] == job.backend)
                for parent in job.after
            ):
                free.add(job.name)
        return free


def _from_each(calls: Iterable[Callable[[], Sequence[str]]]) -> Sequence[str]:
    """Call all services, and return all names; raise the errors only afterwards, as one."""
    names: list[str] = []
    errors: list[FlowymlError] = []
    for call in calls:
        try:
            names += call()
        except FlowymlError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise AwsRefusedError(
            what="; ".join(error.what for error in errors),
            why="; ".join(error.why for error in errors),
            fix=errors[0].fix,
        )
    return names
