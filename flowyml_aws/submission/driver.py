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
from flowyml_aws.runtime.result import (
    AttemptEvents,
    JobResult,
    StepFailure,
    StepReport,
    StepState,
    read_result,
)
from flowyml_aws.submission.backend import Backend, Bills, JobState, JobStatus
from flowyml_aws.submission.history import record_times
from flowyml_aws.submission.record import RunOutcome, RunRecord, RunState, read_outcome
from flowyml_aws.submission.status import JobView, RunStatus

__all__ = ["RunDriver"]

Answer = TypeVar("Answer")

_READERS = 16  # small objects: the time is latency, not bandwidth
_UNKNOWN = JobStatus(JobState.LOST)


@dataclass(slots=True)
class RunDriver:
    """Drives one run.

    Attributes:
        allow_pickle: Whether who drives it may run code out of the store to read a value.
        clock: Seconds since the epoch.
    """

    store: ArtifactStore
    record: RunRecord
    plan: ExecutionPlan
    backend: Backend
    allow_pickle: bool = True
    clock: Callable[[], float] = time.time
    _ended: dict[str, JobView] = field(default_factory=dict)
    _looked: bool = False

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
            job for job in self._going() if statuses.get(job.name, _UNKNOWN).state is JobState.LOST
        ]
        if startable:
            done = {n for n, view in self._ended.items() if view.state is JobState.SUCCEEDED}
            self.backend.submit(startable, done)
            # Who cancelled meanwhile could not see these jobs yet.
            if self._is_cancelled():
                self.backend.cancel(startable)
        return self._tell(statuses)

    def status(self) -> RunStatus:
        """Look and tell, without submitting anything."""
        return self._tell(self._observe())

    def cancel(self) -> None:
        """End the run; what has not ended is cancelled. A run that has ended stays as it is."""
        status = self.status()
        if status.state is not RunState.RUNNING:
            return
        intent = RunOutcome(state=RunState.CANCELLED, ended_at=self.clock())
        self.store.create(self.layout.cancellation, intent.to_json())
        ended = {view.job.name for view in status.jobs if view.state.ended}
        # The last ones first: none of them may start because one before it ended.
        self.backend.cancel([job for job in reversed(self.plan.jobs) if job.name not in ended])

    def _observe(self) -> Mapping[str, JobStatus]:
        if not self._looked:
            # A backend forgets jobs, the store does not: who comes late asks the store for all.
            self._read_results(self.plan.jobs)
            self._looked = True
        if not self._going():
            return {}
        statuses = self.backend.statuses()
        # Only now: a job writes its result before it ends.
        self._read_results([job for job in self._going() if _may_have_ended(statuses, job)])
        going = self._going()
        cancelled = bool(going) and self._is_cancelled()
        for job in going:  # in plan order: parents are settled before their children
            status = statuses.get(job.name, _UNKNOWN)
            view = self._blocked(job) or self._without_result(job, status, cancelled)
            if view is not None:
                self._ended[job.name] = view
        return statuses

    def _going(self) -> list[PlannedJob]:
        return [job for job in self.plan.jobs if job.name not in self._ended]

    def _read_results(self, jobs: Sequence[PlannedJob]) -> None:
        for job, result in zip(jobs, self._each(jobs, self._result), strict=True):
            if result is not None:
                self._ended[job.name] = _view_of_result(job, result)
        for job in self._going():
            if (view := self._blocked(job)) is not None:
                self._ended[job.name] = view

    def _without_result(
        self, job: PlannedJob, status: JobStatus, cancelled: bool
    ) -> JobView | None:
        """The end of a job that committed nothing, or None while it may still do so."""
        parents = {p: self._ended[p].state for p in job.after if p in self._ended}
        stopped = cancelled and (status.state.ended or status.state is JobState.LOST)
        if stopped or JobState.CANCELLED in parents.values():
            reports = self._steps_cut_off(job, status, "the run was cancelled")
            steps = reports if status.attempt else ()
            return JobView(job, JobState.CANCELLED, status.attempt, steps=steps)
        if not status.state.ended or len(parents) < len(job.after):
            # No child ends before its parents: where it seems so, they were asked for earlier.
            return None
        reason = status.reason or "it ended without a result; see its log"
        if status.state is JobState.SUCCEEDED:
            reason = "the backend says that it succeeded, but it left no result to rely on"
        reports = self._steps_cut_off(job, status, reason)
        return JobView(job, JobState.FAILED, status.attempt, reason, reports)

    def _blocked(self, job: PlannedJob) -> JobView | None:
        """The end of a job whose parent has failed, or None."""
        bad = (JobState.FAILED, JobState.BLOCKED)
        failed = [p for p in job.after if p in self._ended and self._ended[p].state in bad]
        if not failed:
            return None
        return JobView(job, JobState.BLOCKED, reason=f"{', '.join(failed)} did not succeed")

    def _tell(self, statuses: Mapping[str, JobStatus]) -> RunStatus:
        going = self._going()
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
                reused=self.plan.reused,
            )
        )

    def _with_end(self, status: RunStatus) -> RunStatus:
        if status.state is RunState.RUNNING:
            return status
        if (outcome := read_outcome(self.store, self.record.run_id)) is None:
            ran = [view.result for view in status.jobs if view.state is not JobState.BLOCKED]
            told = [result.ended_at for result in ran if result is not None]
            # A job without a result does not tell when it ended.
            ended_at = max(told) if told and len(told) == len(ran) else self.clock()
            bills = dict(self.backend.bills()) if isinstance(self.backend, Bills) else {}
            outcome = RunOutcome(state=status.state, ended_at=ended_at, bills=bills)
            if self.store.create(self.layout.outcome, outcome.to_json()):
                record_times(self.store, replace(status, ended_at=outcome.ended_at))
        return replace(status, ended_at=outcome.ended_at, bills=outcome.bills)

    def _each(
        self, jobs: Sequence[PlannedJob], ask: Callable[[PlannedJob], Answer]
    ) -> list[Answer]:
        if len(jobs) < 2:
            return [ask(job) for job in jobs]
        with ThreadPoolExecutor(min(_READERS, len(jobs))) as pool:
            return list(pool.map(ask, jobs))

    def _result(self, job: PlannedJob) -> JobResult | None:
        return read_result(self.store, self.record.run_id, job.name)

    def _steps(self, job: PlannedJob, status: JobStatus) -> tuple[StepReport, ...]:
        if status.attempt == 0 or status.state in (JobState.WAITING, JobState.QUEUED):
            return ()
        key = self.layout.attempt(job.name, status.attempt, "events.json")
        try:
            data = self.store.get(key)
        except ArtifactNotFoundError:
            return ()
        return read_document(AttemptEvents, data, f"{self.store.uri}/{key}").steps

    def _steps_cut_off(
        self, job: PlannedJob, status: JobStatus, reason: str
    ) -> tuple[StepReport, ...]:
        """The steps of a job that ended without a word: the one it was at has failed."""
        reports = self._steps(job, status) or tuple(StepReport(name=name) for name in job.steps)
        failure = StepFailure(kind="JobEnded", message=reason, traceback=f"{reason}\n")
        unfinished = [r.name for r in reports if r.state in (StepState.RUNNING, StepState.WAITING)]
        return tuple(
            report.model_copy(update={"state": StepState.FAILED, "failure": failure})
            if report.name in unfinished[:1]
            else report
            for report in reports
        )

    def _is_cancelled(self) -> bool:
        try:
            self.store.get(self.layout.cancellation)
        except ArtifactNotFoundError:
            return False
        return True


def _told(status: JobStatus | None) -> JobStatus:
    """A job that nobody runs at the moment waits, whatever happened to it before."""
    if status is None or status.state.ended:
        return JobStatus(JobState.WAITING)
    if status.state is JobState.LOST:
        return JobStatus(JobState.WAITING, reason=status.reason)
    return status


def _may_have_ended(statuses: Mapping[str, JobStatus], job: PlannedJob) -> bool:
    status = statuses.get(job.name)
    if status is None:
        return False
    # What never began can't have ended.
    return status.state.ended or (status.state is JobState.LOST and status.attempt > 0)


def _view_of_result(job: PlannedJob, result: JobResult) -> JobView:
    state = JobState.SUCCEEDED if result.state == "succeeded" else JobState.FAILED
    return JobView(job, state, result.attempt, result.reason, result.steps, result)
