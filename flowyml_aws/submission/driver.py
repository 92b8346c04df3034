"""Run driver: polls the backend, submits ready jobs, and reports the run's status.

All state is in the store and at the backend. A driver can die at any moment, and another driver
on any machine can continue the run.
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
from flowyml_aws.planning.plan import ExecutionPlan, InstanceOffer, PlannedJob
from flowyml_aws.runtime.result import (
    AttemptEvents,
    JobResult,
    StepFailure,
    StepReport,
    StepState,
    read_result,
)
from flowyml_aws.submission.backend import Backend, Bills, JobState, JobStatus, Leftovers
from flowyml_aws.submission.history import record_times
from flowyml_aws.submission.record import RunOutcome, RunRecord, RunState, read_outcome
from flowyml_aws.submission.status import JobView, RunStatus

__all__ = ["RunDriver"]

T = TypeVar("T")

_READERS = 16  # small objects: the time is latency, not bandwidth
_UNKNOWN = JobStatus(JobState.LOST)


@dataclass(slots=True)
class RunDriver:
    """Drives one run.

    Attributes:
        allow_pickle: Whether this client may run code from the store to load a value.
        clock: Seconds since the epoch.
    """

    store: ArtifactStore
    record: RunRecord
    plan: ExecutionPlan
    backend: Backend
    allow_pickle: bool = True
    clock: Callable[[], float] = time.time
    _ended: dict[str, JobView] = field(default_factory=dict)
    _results_read: bool = False
    _may_leave_jobs: bool = False

    @property
    def layout(self) -> RunLayout:
        return RunLayout(self.record.run_id)

    def advance(self) -> RunStatus:
        """Poll once, submit the jobs that are ready, and return the run's status.

        When the run has ended, the jobs that it has left at its services are ended.

        Raises:
            FlowymlError: The store or the backend can't report the jobs' states, or some jobs
                could not be ended.
        """
        statuses = self._observe()
        # LOST means either: never submitted, or disappeared without reporting.
        startable = [
            job
            for job in self._active_jobs()
            if statuses.get(job.name, _UNKNOWN).state is JobState.LOST
        ]
        if startable:
            done = {n for n, view in self._ended.items() if view.state is JobState.SUCCEEDED}
            self.backend.submit(startable, done)
            # A concurrent cancel may have missed these jobs.
            if self._is_cancelled():
                self.backend.cancel(startable)
        status = self._make_status(statuses)
        if status.state is RunState.RUNNING:
            self._may_leave_jobs = True
        elif self._may_leave_jobs:
            self._may_leave_jobs = False
            self._end_leftovers(status)
        return status

    def status(self) -> RunStatus:
        """Poll once, and return the run's status without submitting anything."""
        return self._make_status(self._observe())

    def cancel(self) -> Sequence[str]:
        """Cancel the run and its jobs that have not ended, with every copy of them.

        Return the names of the jobs that are still ending, at their services. If the run has
        ended, only the jobs that it has left are ended.

        Raises:
            FlowymlError: Some jobs could not be ended; the error lists them. The others were.
        """
        status = self.status()
        if status.state is not RunState.RUNNING:
            return self._end_leftovers(status)
        intent = RunOutcome(state=RunState.CANCELLED, ended_at=self.clock())
        self.store.create(self.layout.cancellation, intent.to_json())
        ended = {view.job.name for view in status.jobs if view.state.ended}
        # In reverse plan order, so that no job starts because its parent has ended.
        return self.backend.cancel([j for j in reversed(self.plan.jobs) if j.name not in ended])

    def _end_leftovers(self, status: RunStatus) -> Sequence[str]:
        if not isinstance(self.backend, Leftovers):
            return ()
        finished = {view.job.name for view in status.jobs if view.result is not None}
        return self.backend.end_leftovers(finished)

    def _observe(self) -> Mapping[str, JobStatus]:
        if not self._results_read:
            # Backends forget old jobs and the store does not: read all results once.
            self._read_results(self.plan.jobs)
            self._results_read = True
        if not self._active_jobs():
            return {}
        statuses = self.backend.statuses()
        # After the poll: a job writes its result before it ends.
        self._read_results([job for job in self._active_jobs() if _may_have_ended(statuses, job)])
        active = self._active_jobs()
        cancelled = bool(active) and self._is_cancelled()
        for job in active:  # in plan order: parents are settled before their children
            status = statuses.get(job.name, _UNKNOWN)
            view = self._blocked(job) or self._without_result(job, status, cancelled)
            if view is not None:
                self._ended[job.name] = view
        return statuses

    def _active_jobs(self) -> list[PlannedJob]:
        return [job for job in self.plan.jobs if job.name not in self._ended]

    def _read_results(self, jobs: Sequence[PlannedJob]) -> None:
        for job, result in zip(jobs, self._each(jobs, self._result), strict=True):
            if result is not None:
                self._ended[job.name] = self._view_of_result(job, result)
        for job in self._active_jobs():
            if (view := self._blocked(job)) is not None:
                self._ended[job.name] = view

    def _without_result(
        self, job: PlannedJob, status: JobStatus, cancelled: bool
    ) -> JobView | None:
        """Return the final view of a job without a result, or None while it may still commit."""
        parents = {p: self._ended[p].state for p in job.after if p in self._ended}
        stopped = cancelled and (status.state.ended or status.state is JobState.LOST)
        if stopped or JobState.CANCELLED in parents.values():
            events = self._events(job, status)
            reports = _steps_cut_off(job, events, "the run was cancelled")
            steps = reports if status.attempt else ()
            ran_on = self._ran_on(job, events)
            return JobView(job, JobState.CANCELLED, status.attempt, steps=steps, ran_on=ran_on)
        if not status.state.ended or len(parents) < len(job.after):
            # A child can't end before its parents; the poll of the parents was just earlier.
            return None
        reason = status.reason or "the job ended without a result; see its log"
        if status.state is JobState.SUCCEEDED:
            reason = "the backend reports success, but the job left no result"
        events = self._events(job, status)
        reports = _steps_cut_off(job, events, reason)
        ran_on = self._ran_on(job, events)
        return JobView(job, JobState.FAILED, status.attempt, reason, reports, ran_on=ran_on)

    def _blocked(self, job: PlannedJob) -> JobView | None:
        """Return the final view of a job whose parent has failed, or None."""
        failures = (JobState.FAILED, JobState.BLOCKED)
        failed = [p for p in job.after if p in self._ended and self._ended[p].state in failures]
        if not failed:
            return None
        return JobView(job, JobState.BLOCKED, reason=f"{', '.join(failed)} did not succeed")

    def _make_status(self, statuses: Mapping[str, JobStatus]) -> RunStatus:
        active = self._active_jobs()
        known = {job.name: _visible_status(statuses.get(job.name)) for job in active}
        each_events = self._each(active, lambda job: self._events(job, known[job.name]))
        views = dict(self._ended)
        for job, events in zip(active, each_events, strict=True):
            status = known[job.name]
            views[job.name] = JobView(
                job,
                status.state,
                status.attempt,
                status.reason,
                events.steps if events is not None else (),
                ran_on=self._ran_on(job, events),
            )
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
            results = [view.result for view in status.jobs if view.state is not JobState.BLOCKED]
            times = [result.ended_at for result in results if result is not None]
            # The end of a job without a result is unknown.
            ended_at = max(times) if times and len(times) == len(results) else self.clock()
            bills = dict(self.backend.bills()) if isinstance(self.backend, Bills) else {}
            outcome = RunOutcome(state=status.state, ended_at=ended_at, bills=bills)
            if self.store.create(self.layout.outcome, outcome.to_json()):
                self._may_leave_jobs = True
                record_times(self.store, replace(status, ended_at=outcome.ended_at))
        return replace(status, ended_at=outcome.ended_at, bills=outcome.bills)

    def _each(self, jobs: Sequence[PlannedJob], read: Callable[[PlannedJob], T]) -> list[T]:
        if len(jobs) < 2:
            return [read(job) for job in jobs]
        with ThreadPoolExecutor(min(_READERS, len(jobs))) as pool:
            return list(pool.map(read, jobs))

    def _result(self, job: PlannedJob) -> JobResult | None:
        return read_result(self.store, self.record.run_id, job.name)

    def _events(self, job: PlannedJob, status: JobStatus) -> AttemptEvents | None:
        if status.attempt == 0 or status.state in (JobState.WAITING, JobState.QUEUED):
            return None
        key = self.layout.attempt(job.name, status.attempt, "events.json")
        try:
            data = self.store.get(key)
        except ArtifactNotFoundError:
            return None
        return read_document(AttemptEvents, data, f"{self.store.uri}/{key}")

    def _ran_on(
        self, job: PlannedJob, report: AttemptEvents | JobResult | None
    ) -> InstanceOffer | None:
        """Return the reported instance type with its price; None on this machine."""
        if report is None or report.instance_type is None or not job.offers:
            return None
        return self.plan.offer_of(job, report.instance_type)

    def _view_of_result(self, job: PlannedJob, result: JobResult) -> JobView:
        state = JobState.SUCCEEDED if result.state == "succeeded" else JobState.FAILED
        ran_on = self._ran_on(job, result)
        return JobView(job, state, result.attempt, result.reason, result.steps, result, ran_on)

    def _is_cancelled(self) -> bool:
        try:
            self.store.get(self.layout.cancellation)
        except ArtifactNotFoundError:
            return False
        return True


def _visible_status(status: JobStatus | None) -> JobStatus:
    """Return the status to report: a job that does not run at the moment is waiting."""
    if status is None or status.state.ended:
        return JobStatus(JobState.WAITING)
    if status.state is JobState.LOST:
        return JobStatus(JobState.WAITING, reason=status.reason)
    return status


def _may_have_ended(statuses: Mapping[str, JobStatus], job: PlannedJob) -> bool:
    status = statuses.get(job.name)
    if status is None:
        return False
    # A job that never started can't have ended.
    return status.state.ended or (status.state is JobState.LOST and status.attempt > 0)


def _steps_cut_off(
    job: PlannedJob, events: AttemptEvents | None, reason: str
) -> tuple[StepReport, ...]:
    """Return the step reports of a job that ended without reporting.

    The first unfinished step is marked as failed.
    """
    reports = events.steps if events is not None else ()
    reports = reports or tuple(StepReport(name=name) for name in job.steps)
    failure = StepFailure(kind="JobEnded", message=reason)
    unfinished = [r.name for r in reports if r.state in (StepState.RUNNING, StepState.WAITING)]
    return tuple(
        report.model_copy(update={"state": StepState.FAILED, "failure": failure})
        if report.name in unfinished[:1]
        else report
        for report in reports
    )
