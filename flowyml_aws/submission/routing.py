"""Several backends as one: each job goes to its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from flowyml_aws.core.findings import Finding
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
from flowyml_aws.submission.backend import Backend, Bills, Diagnoses, JobStatus, LogLine
from flowyml_aws.submission.record import Bill

__all__ = ["RoutedBackend"]


class RoutedBackend:
    """The jobs of one run at several places, routed by the backend that the plan names.

    Args:
        plan: The run's.
        backends: By name; each with the plan of its own jobs.
    """

    def __init__(self, plan: ExecutionPlan, backends: Mapping[str, Backend]) -> None:
        self._plan = plan
        self._backends = backends
        self._place = {job.name: job.backend for job in plan.jobs}

    def submit(self, jobs: Sequence[PlannedJob], succeeded: Collection[str]) -> None:
        """Offer each backend its jobs that wait for no job elsewhere.

        A backend orders its own jobs, and knows nothing of those at other places.
        """
        free = self._free(set(succeeded))
        for name, backend in self._backends.items():
            own = [job for job in jobs if job.backend == name and job.name in free]
            if own:
                backend.submit(own, succeeded)

    def statuses(self) -> Mapping[str, JobStatus]:
        return {
            job: status
            for backend in self._backends.values()
            for job, status in backend.statuses().items()
        }

    def logs(self, job: str, cursor: str | None) -> tuple[list[LogLine], str | None]:
        return self._backends[self._place[job]].logs(job, cursor)

    def cancel(self, jobs: Sequence[PlannedJob]) -> None:
        for name, backend in self._backends.items():
            own = [job for job in jobs if job.backend == name]
            if own:
                backend.cancel(own)

    def release(self) -> None:
        for backend in self._backends.values():
            backend.release()

    def bills(self) -> Mapping[str, Bill]:
        return {
            job: bill
            for backend in self._backends.values()
            if isinstance(backend, Bills)
            for job, bill in backend.bills().items()
        }

    def diagnose(self) -> Mapping[str, Sequence[Finding]]:
        return {
            job: found
            for backend in self._backends.values()
            if isinstance(backend, Diagnoses)
            for job, found in backend.diagnose().items()
        }

    def pause(self) -> None:
        """As one of them does: they are equally quick to have news."""
        next(iter(self._backends.values())).pause()

    def _free(self, succeeded: set[str]) -> set[str]:
        """Jobs of which every ancestor that has not succeeded is at the same place."""
        free: set[str] = set()
        for job in self._plan.jobs:  # parents come before their children
            if all(
                parent in succeeded or (parent in free and self._place[parent] == job.backend)
                for parent in job.after
            ):
                free.add(job.name)
        return free
