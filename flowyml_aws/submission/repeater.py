"""Finds the repetitions of a run, from the results of its jobs and their statuses."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.runtime.summary import JobSummary
from flowyml_aws.submission.backend import JobState, JobStatus
from flowyml_aws.submission.losses import EndedAttempt
from flowyml_aws.submission.moves import Move
from flowyml_aws.submission.record import RunRecord, read_outcome, read_spec
from flowyml_aws.submission.repetitions import (
    Repetition,
    find_repetition,
    readers_of,
    repetition_move,
)
from flowyml_aws.submission.reports import JobReports

__all__ = ["Repeater"]

_UNKNOWN = JobStatus(JobState.LOST)
_RUNNING = (JobState.STARTING, JobState.RUNNING)


@dataclass
class Repeater:
    """The repetitions of one run, as one client sees them.

    Attributes:
        found: Repetitions that have not begun, by the job that found the damaged value.
    """

    store: ArtifactStore
    record: RunRecord
    reports: JobReports
    found: dict[str, Repetition] = field(default_factory=dict)
    _failed: dict[str, JobSummary] = field(default_factory=dict)

    def takes(self, job: PlannedJob, summary: JobSummary) -> bool:
        """Take a job that a damaged value has failed, unless its run has ended. Return whether."""
        if summary.failure is None or summary.failure.cause is not Cause.DAMAGED:
            return False
        if read_outcome(self.store, self.record.run_id) is not None:
            return False
        self._failed[job.name] = summary
        return True

    def forget(self, job: str) -> None:
        """Forget the result of a job that is executed again."""
        self._failed.pop(job, None)
        self.found.pop(job, None)

    def settle(
        self,
        plan: ExecutionPlan,
        statuses: Mapping[str, JobStatus],
        ended: Collection[str],
        is_cancelled: bool,
    ) -> dict[str, JobSummary]:
        """Find the repetitions, and return the results of the other jobs, which have failed.

        A cancelled run repeats nothing.

        Args:
            plan: Plan of the run.
            statuses: Statuses of the jobs, by name.
            ended: Jobs that have ended.
            is_cancelled: Whether the run was cancelled.
        """
        self.found.clear()
        if not self._failed:
            return {}
        if not is_cancelled:
            results = self.reports.results(self._failed)
            is_repeatable = partial(self._is_repeatable, plan, statuses, ended)
            for reader in [job for job in plan.jobs if job.name in results]:
                result = results[reader.name]
                repetition = find_repetition(plan, reader, result, is_repeatable)
                if repetition is not None and self._has_results(repetition):
                    self.found[reader.name] = repetition
        names = [name for name in self._failed if name not in self.found]
        return {name: self._failed.pop(name) for name in names}

    def moves(
        self,
        plan: ExecutionPlan,
        statuses: Mapping[str, JobStatus],
        lost: Mapping[str, tuple[EndedAttempt, ...]],
        now: float,
    ) -> Iterator[Move]:
        """Yield the records of the repetitions that can begin, each job once.

        A repetition begins when neither its reader nor another one of the same values is running.

        Args:
            plan: Plan of the run.
            statuses: Statuses of the jobs, by name.
            lost: Attempts that jobs have lost, by name.
            now: Seconds since the epoch.
        """
        repeated: set[str] = set()
        for repetition in list(self.found.values()):
            readers = [job for each in repetition.producers for job in readers_of(plan, each)]
            readers.append(repetition.reader)
            if any(statuses.get(job.name, _UNKNOWN).state in _RUNNING for job in readers):
                continue
            results = self.reports.results([job.name for job in repetition.jobs])
            for job in repetition.jobs:
                if job.name not in repeated:
                    repeated.add(job.name)
                    attempts = lost.get(job.name, ())
                    yield repetition_move(plan, repetition, job, results[job.name], attempts, now)

    def _has_results(self, repetition: Repetition) -> bool:
        """Return whether the results are stored that a repetition replaces."""
        names = [job.name for job in repetition.jobs]
        return len(self.reports.results(names)) == len(names)

    def _is_repeatable(
        self,
        plan: ExecutionPlan,
        statuses: Mapping[str, JobStatus],
        ended: Collection[str],
        job: PlannedJob,
    ) -> bool:
        """Return whether a run stays consistent if one of its jobs is executed again.

        It does if no other job got the job's values, or if its steps are cached: they return the
        same again, as far as their author says.
        """
        if all(
            reader.name in self._failed
            or (reader.name not in ended and _is_not_submitted(statuses.get(reader.name)))
            for reader in readers_of(plan, job)
        ):
            return True
        spec = read_spec(self.store, self.record, job.name)
        return all(step.cache is not None for step in spec.steps)


def _is_not_submitted(status: JobStatus | None) -> bool:
    return status is None or (status.state is JobState.LOST and not status.attempt)
