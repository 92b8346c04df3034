"""Takes a run from its plan to its end: observes, submits what can start, tells what it saw.

All state is in the store and at the backend, so a driver can die at any moment and another one,
on any machine, goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeVar

from flowyml_aws.artifacts.documents import read_document
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.errors import ArtifactNotFoundError
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
from flowyml_aws.runtime.result import AttemptEvents, JobResult, StepReport
from flowyml_aws.submission.backend import Backend, JobState, JobStatus
from flowyml_aws.submission.record import RunOutcome, RunRecord, RunState, read_outcome
from flowyml_aws.submission.status import JobView, RunStatus

__all__ = ["RunDriver"]

Answer = TypeVar("Answer")

_READERS = 16  # small objects: the time is latency, not bandwidth
_UNKNOWN = JobStatus(JobState.LOST)


@dataclass(slots=True)
class RunDriver:
    """Drives one run; `clock` tells seconds since the epoch."""

    store: ArtifactStore
    record: RunRecord
    plan: ExecutionPlan
    backend: Backend
    clock: Callable[[], float] = time.time
    _ended: dict[str, JobView] = field(default_factory=dict)
    _asked_all: bool = False

    @property
    def layout(self) -> RunLayout:
        return RunLayout(self.record.run_id)

    def advance(self) -> RunStatus:
        """One round: look, submit what can start, and tell.

        Raises:
            FlowymlError: The store or the backend can't tell how the jobs are.
        """
        statuses = self._observe()
        # LOST stands for both: never taken over, and gone without a word.
        startable = [
            job
            for job in self.plan.jobs
            if job.name not in self._ended
            and statuses.get(job.name, _UNKNOWN).state is JobState.LOST
        ]
        if startable:
            done = {n for n, view in self._ended.items() if view.state is JobState.SUCCEEDED}
            self.backend.submit(startable, done)
        return self._tell(statuses)

    def status(self) -> RunStatus:
        """Look and tell, without submitting anything."""
        return self._tell(self._observe())

    def cancel(self) -> None:
        """End the run; what has not ended is cancelled."""
        intent = RunOutcome(state=RunState.CANCELLED, ended_at=self.clock())
        self.store.create(self.layout.cancellation, intent.to_json())
        ended = {view.job.name for view in self.status().jobs if view.state.ended}
        # The last ones first: none of them may start because one before it ended.
        self.backend.cancel([job for job in reversed(self.plan.jobs) if job.name not in ended])

    def _observe(self) -> Mapping[str, JobStatus]:
        statuses = self.backend.statuses()
        # Who attaches asks for every result once: a backend forgets jobs, the store does not.
        asked = [
            job
            for job in self.plan.jobs
            if job.name not in self._ended
            and (not self._asked_all or _may_have_ended(statuses.get(job.name)))
        ]
        self._asked_all = True
        for job, result in zip(asked, self._each(asked, self._result), strict=True):
            if result is not None:
                self._ended[job.name] = _view_of_result(job, result)
        # Only what the backend does not hold any more can still be started, or ended by a cancel.
        going = [job for job in self.plan.jobs if job.name not in self._ended]
        cancelled = (
            self._is_cancelled() if asked or any(j.name not in statuses for j in going) else False
        )
        for job in going:  # in plan order: parents are settled before their children
            view = self._without_result(job, statuses.get(job.name, _UNKNOWN), cancelled)
            if view is not None:
                self._ended[job.name] = view
        return statuses

    def _without_result(
        self, job: PlannedJob, status: JobStatus, cancelled: bool
    ) -> JobView | None:
        """The end of a job that committed nothing, or None while it may still do so."""
        failed = [
            parent
            for parent in job.after
            if parent in self._ended and self._ended[parent].state is not JobState.SUCCEEDED
        ]
        if cancelled and (status.state.ended or status.state is JobState.LOST):
            return JobView(job, JobState.CANCELLED, status.attempt, steps=self._steps(job, status))
        if failed:
            return JobView(job, JobState.BLOCKED, reason=f"{', '.join(failed)} did not succeed")
        if not status.state.ended:
            return None
        reason = status.reason or "it ended without a result; see its log"
        if status.state is JobState.SUCCEEDED:
            reason = "the backend says that it succeeded, but it left no result to rely on"
        steps = self._steps(job, status)
        return JobView(job, JobState.FAILED, status.attempt, reason, steps)

    def _tell(self, statuses: Mapping[str, JobStatus]) -> RunStatus:
        going = [job for job in self.plan.jobs if job.name not in self._ended]
        known = {job.name: _told(statuses.get(job.name)) for job in going}
        steps = self._each(going, lambda job: self._steps(job, known[job.name]))
        views = dict(self._ended)
        for job, reports in zip(going, steps, strict=True):
            status = known[job.name]
            views[job.name] = JobView(job, status.state, status.attempt, status.reason, reports)
        return self._with_end(
            RunStatus(
                run_id=self.record.run_id,
                pipeline=self.record.pipeline,
                backend=self.record.backend,
                created_at=self.record.created_at,
                jobs=tuple(views[job.name] for job in self.plan.jobs),
            )
        )

    def _with_end(self, status: RunStatus) -> RunStatus:
        if status.state is RunState.RUNNING:
            return status
        if (outcome := read_outcome(self.store, self.record.run_id)) is None:
            ends = [view.result.ended_at for view in status.jobs if view.result]
            outcome = RunOutcome(state=status.state, ended_at=max(ends, default=self.clock()))
            self.store.create(self.layout.outcome, outcome.to_json())
        return replace(status, ended_at=outcome.ended_at)

    def _each(
        self, jobs: Sequence[PlannedJob], ask: Callable[[PlannedJob], Answer]
    ) -> list[Answer]:
        if len(jobs) < 2:
            return [ask(job) for job in jobs]
        with ThreadPoolExecutor(min(_READERS, len(jobs))) as pool:
            return list(pool.map(ask, jobs))

    def _result(self, job: PlannedJob) -> JobResult | None:
        key = self.layout.result(job.name)
        try:
            return read_document(JobResult, self.store.get(key), f"{self.store.uri}/{key}")
        except ArtifactNotFoundError:
            return None

    def _steps(self, job: PlannedJob, status: JobStatus) -> tuple[StepReport, ...]:
        if status.attempt == 0 or status.state in (JobState.WAITING, JobState.QUEUED):
            return ()
        key = self.layout.attempt(job.name, status.attempt, "events.json")
        try:
            data = self.store.get(key)
        except ArtifactNotFoundError:
            return ()
        return read_document(AttemptEvents, data, f"{self.store.uri}/{key}").steps

    def _is_cancelled(self) -> bool:
        try:
            self.store.get(self.layout.cancellation)
        except ArtifactNotFoundError:
            return False
        return True


def _told(status: JobStatus | None) -> JobStatus:
    """A job that nobody runs at the moment waits, whatever happened to it before."""
    if status is None or status.state is JobState.LOST:
        return JobStatus(JobState.WAITING)
    return status


def _may_have_ended(status: JobStatus | None) -> bool:
    return status is not None and (status.state.ended or status.state is JobState.LOST)


def _view_of_result(job: PlannedJob, result: JobResult) -> JobView:
    state = JobState.SUCCEEDED if result.state == "succeeded" else JobState.FAILED
    return JobView(job, state, result.attempt, _reason(result), result.steps, result)


def _reason(result: JobResult) -> str | None:
    if result.failure is not None:
        return f"{result.failure.kind}: {result.failure.message}"
    for report in result.steps:
        if report.failure is not None:
            return f"step {report.name!r}: {report.failure.kind}: {report.failure.message}"
    return None
