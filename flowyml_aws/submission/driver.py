"""Run driver: polls the backend, submits ready jobs, and reports the run's status.

All state is in the store and at the backend. A driver can die at any moment, and another driver
on any machine can continue the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

from flowyml_aws.artifacts.documents import read_document
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.amounts import usd
from flowyml_aws.core.clock import monotonic
from flowyml_aws.core.errors import (
    ArtifactNotFoundError,
    AwsRefusedError,
    DamagedArtifactError,
    RunNotFoundError,
)
from flowyml_aws.planning.plan import ExecutionPlan, InstanceOffer, PlannedJob
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.runtime.result import AttemptEvents, StepFailure, StepReport, StepState
from flowyml_aws.runtime.summary import JobSummary
from flowyml_aws.submission.answers import Approvals
from flowyml_aws.submission.approvals import ApprovalState, ApprovalView
from flowyml_aws.submission.backend import (
    Backend,
    Bills,
    JobState,
    JobStatus,
    Leftovers,
    Moves,
    Repeats,
    Samples,
)
from flowyml_aws.submission.bills import BillsWait, JobBills
from flowyml_aws.submission.cancellation import Cancellation
from flowyml_aws.submission.cost_limit import end_reason, has_used_share, share_reason
from flowyml_aws.submission.cost_watch import CostWatch
from flowyml_aws.submission.expansion_views import cancelled_view, failed_view, running_view
from flowyml_aws.submission.expansions import Expansions, ReturnedPipeline
from flowyml_aws.submission.gates import Gates, waiting_reason
from flowyml_aws.submission.history import record_times
from flowyml_aws.submission.losses import EndedAttempt, LostAttempts, price_attempts, total_lost
from flowyml_aws.submission.mover import Mover, NextMachine
from flowyml_aws.submission.moves import CAPACITY_WAIT_S, Move, MoveRecords, machine_after, moved
from flowyml_aws.submission.record import RunOutcome, RunRecord, RunState, read_outcome
from flowyml_aws.submission.repeater import Repeater
from flowyml_aws.submission.reports import JobReports
from flowyml_aws.submission.status import ExpansionView, JobView, RunStatus, dropped_items
from flowyml_aws.submission.times import JobTimes

__all__ = ["RunDriver"]

_UNKNOWN = JobStatus(JobState.LOST)
_MAX_NAMES = 5  # jobs that a reason names


@dataclass
class RunDriver:
    """Drives one run.

    Attributes:
        allow_pickle: Whether this client may run code from the store to load a value; None if only
            for runs that its user started on this machine.
        clock: Seconds since the epoch.
        waiting_clock: Seconds since any start, by which waits for capacity and bills are measured.
        capacity_wait_s: Seconds without capacity after which jobs move to another target.
        backend_of: Returns the backend of a sub-run.
        on_end: Called once for a run, by the client that has recorded its outcome, with the last
            status, in order. The run has ended whatever they do.
        awaits_bills: Whether the run had ended at the last poll, and its outcome will be recorded
            with bills that are not known yet.
    """

    store: ArtifactStore
    record: RunRecord
    plan: ExecutionPlan
    backend: Backend
    allow_pickle: bool | None = None
    clock: Callable[[], float] = time.time
    capacity_wait_s: float = CAPACITY_WAIT_S
    waiting_clock: Callable[[], float] = monotonic
    backend_of: Callable[[RunRecord, ExecutionPlan], Backend] | None = None
    on_end: list[Callable[[RunStatus], None]] = field(default_factory=list)
    awaits_bills: bool = field(default=False, init=False)
    _ended: dict[str, JobView] = field(default_factory=dict)
    _results_read: bool = False
    _may_leave_jobs: bool = False
    _events: Mapping[str, AttemptEvents] = field(default_factory=dict)
    _lost: dict[str, tuple[EndedAttempt, ...]] = field(default_factory=dict)
    _costs: CostWatch = field(default_factory=CostWatch)
    _times: dict[str, JobTimes] = field(default_factory=dict)
    _end_seen_at: float | None = None
    _approvals: Mapping[str, ApprovalView] = field(default_factory=dict)
    _refusals: Mapping[str, str | None] = field(default_factory=dict)
    _unfinished: dict[str, ReturnedPipeline] = field(default_factory=dict)
    _expanded: dict[str, ReturnedPipeline] = field(default_factory=dict)
    _losses_seen: dict[str, int] = field(default_factory=dict)
    _withdrawn: set[str] = field(default_factory=set)
    _cancellation_seen: bool = False
    _has_cancelled_jobs: bool = False

    @property
    def layout(self) -> RunLayout:
        return RunLayout(self.record.run_id)

    @cached_property
    def reports(self) -> JobReports:
        """Reports of the jobs, in the store."""
        return JobReports(self.store, self.record.run_id, len(self.plan.jobs))

    @cached_property
    def _mover(self) -> Mover:
        records = MoveRecords(self.store, self.record.run_id)
        return Mover(records, self.capacity_wait_s, self.waiting_clock)

    @cached_property
    def _bills_wait(self) -> BillsWait:
        return BillsWait(self.waiting_clock)

    @cached_property
    def _repeater(self) -> Repeater:
        return Repeater(self.store, self.record, self.reports)

    @cached_property
    def _gates(self) -> Gates:
        return Gates(self.store, self.record)

    @cached_property
    def _expansions(self) -> Expansions[RunDriver]:
        return Expansions(self.store, self.record, self._drive)

    def _drive(self, record: RunRecord, plan: ExecutionPlan) -> RunDriver:
        """Return the driver of a sub-run of this one."""
        assert self.backend_of is not None
        return RunDriver(
            self.store,
            record,
            plan,
            self.backend_of(record, plan),
            allow_pickle=self.allow_pickle,
            clock=self.clock,
            capacity_wait_s=self.capacity_wait_s,
            waiting_clock=self.waiting_clock,
            backend_of=self.backend_of,
        )

    @cached_property
    def answers(self) -> Approvals:
        """Answers to the approvals of the run, in the store."""
        return Approvals(self.store, self.record.run_id)

    def start(self) -> None:
        """Submit the jobs of a run that was just written; none has a state yet.

        Raises:
            FlowymlError: A job was refused.
        """
        self._submit(self._after_gates(self.plan.jobs))
        if self._active_jobs():
            self._may_leave_jobs = True
        else:
            self.advance()  # records the end of the run

    def advance(self) -> RunStatus:
        """Poll once, submit or skip the jobs that are ready, and return the run's status.

        When the run has ended, its outcome is recorded by the first poll that finds no bill
        missing, or after `BILLS_WAIT_S`. Then the jobs that the run has left at its services are
        ended, also its driver. A run that reaches its cost limit is ended.

        Raises:
            FlowymlError: The store or the backend can't report the jobs' states, or some jobs
                could not be ended.
        """
        statuses = self._observe()
        self._finish_cancellation()
        self._withdraw_finished(statuses)
        statuses = self._repeat(self._move(statuses))
        is_over_limit = self._end_at_cost_limit(statuses)
        self._drive_pipelines(statuses)
        # LOST means either: never submitted, or disappeared without reporting.
        startable = [
            job
            for job in self._active_jobs()
            if statuses.get(job.name, _UNKNOWN).state is JobState.LOST
            and job.name not in self._unfinished
        ]
        if startable and not is_over_limit:
            self._submit(self._after_gates(startable))
        status = self._make_status(statuses)
        self.awaits_bills |= self._expansions.finish()
        if status.state is RunState.RUNNING:
            self._may_leave_jobs = True
        elif self._may_leave_jobs and not self.awaits_bills:
            self._may_leave_jobs = False
            self._end_leftovers(status)
        return status

    def status(self) -> RunStatus:
        """Poll once, and return the run's status without submitting anything."""
        statuses = self._observe()
        for each in list(self._unfinished.values()):
            self._settle_pipeline(each, self._expansions.look(each))
        self._see_expanded()
        status = self._make_status(statuses)
        jobs = tuple(
            replace(view, needs_client=not view.state.ended and self._needs_client(view, statuses))
            for view in status.jobs
        )
        return replace(status, jobs=jobs)

    def sub_run(self, step: str) -> RunDriver | None:
        """Return the driver of the sub-run of a dynamic step; None if it has none.

        Raises:
            FlowymlError: The store or the backend can't report the jobs' states.
        """
        if step not in self._expansions.drivers:
            self.status()
        return self._expansions.drivers.get(step)

    def containing(self, name: str) -> tuple[RunDriver, str]:
        """Return the driver of the run that contains a job or step, and its name there.

        Args:
            name: Name of a job or a step. `search/train` is `train` in the pipeline that the
                dynamic step `search` has returned, which is a sub-run.

        Raises:
            RunNotFoundError: The dynamic step has not returned a pipeline.
            FlowymlError: The store or the backend can't report the jobs' states.
        """
        step = next((step for step in self.plan.dynamic if name.startswith(f"{step}/")), None)
        if step is None:
            return self, name
        if (driver := self.sub_run(step)) is None:
            run_id = self.record.run_id
            raise RunNotFoundError(
                what=f"No {name!r} in run {run_id}",
                why=f"{step!r} has not returned a pipeline, or it was not started",
                fix=f"`flowyml-aws status {run_id}` shows the state of {step!r}",
            )
        return driver.containing(name.removeprefix(f"{step}/"))

    def cancel(self, by: str | None = None) -> Sequence[str]:
        """Cancel the run and its jobs that have not ended, with every copy of them.

        Return the names of the jobs that are still ending, at their services. If the run has
        ended, only the jobs that it has left are ended.

        Args:
            by: User and machine that cancel it, for readers of its record.

        Raises:
            FlowymlError: Some jobs could not be ended; the error lists them. The others were.
        """
        self._results_read = False  # jobs may have ended since the last poll
        self._read_store()
        if not self._is_active():
            status = self.status()
            if status.state is not RunState.RUNNING:
                return self._end_leftovers(status)
        intent = Cancellation(ended_at=self.clock(), by=by)
        self.store.create(self.layout.cancellation, intent.to_json())
        return self._cancel_jobs()

    def release(self) -> None:
        """Stop the jobs that cannot continue without this client."""
        try:
            self._expansions.release()
        finally:
            self.backend.release()

    def _cancel_jobs(self) -> Sequence[str]:
        # In reverse plan order, so that no job starts because its parent has ended.
        ending: list[str] = []
        try:
            ending += self._expansions.cancel(self._unfinished.values())
        finally:
            active = [job for job in self._active_jobs() if job.name not in self._unfinished]
            ending += self.backend.cancel(active[::-1])
        self._has_cancelled_jobs = True
        return ending

    def _drive_pipelines(self, statuses: Mapping[str, JobStatus]) -> None:
        """Start or drive the runs of the pipelines that dynamic steps have returned."""
        for each in list(self._unfinished.values()):
            is_new = not self._expansions.is_started(each)
            if is_new and not self._is_cancelled():
                spent_usd = self._spent_usd(statuses)
                self._expansions.start(each, self.plan.max_cost_usd, spent_usd, self.clock())
            view = self._expansions.advance(each)
            if is_new and not self._cancellation_seen and self._is_cancelled():
                self._expansions.cancel([each])  # a concurrent cancel may have missed it
            self._settle_pipeline(each, view)
        self._see_expanded()

    def _spent_usd(self, statuses: Mapping[str, JobStatus]) -> float:
        """Return what counts against the cost limit of the run so far; 0 without a limit."""
        limit = self._make_status(statuses).cost_limit
        return 0.0 if limit is None else limit.counted_usd

    def _settle_pipeline(self, each: ReturnedPipeline, view: ExpansionView | None) -> None:
        """End the job of a dynamic step if the run of its pipeline has ended, or will not start."""
        ran_on = self._ran_on(each.job, each.summary)
        has_failed = view is not None and view.failure is not None
        if self._cancellation_seen and (view is None or has_failed):
            self._ended[each.job.name] = cancelled_view(each, self._costs.reached, ran_on)
            self._keep_expanded(each)
        elif view is not None and has_failed:
            self._ended[each.job.name] = failed_view(each, view, ran_on)
            self._keep_expanded(each)
        elif view is not None and view.has_ended:
            self._settle(each.job, each.summary)
        self._block()

    def _see_expanded(self) -> None:
        """Read the runs of pipelines that have ended before this client has seen them."""
        for each in self._expanded.values():
            if each.step not in self._expansions.views:
                self._expansions.look(each)

    def _settle(self, job: PlannedJob, summary: JobSummary) -> None:
        """End a job that has a result, unless the pipeline of its dynamic step has not ended."""
        if (each := ReturnedPipeline.of(job, summary)) is not None:
            if (outputs := self._expansions.outputs(each)) is None:
                self._unfinished[job.name] = each
                return
            summary = summary.with_outputs(outputs)
            self._keep_expanded(each)
        self._ended[job.name] = self._view_of(job, summary)

    def _keep_expanded(self, each: ReturnedPipeline) -> None:
        self._unfinished.pop(each.job.name, None)
        self._expanded[each.job.name] = each

    def _finish_cancellation(self) -> None:
        """End the jobs of a run that was cancelled, or has reached its cost limit.

        The client that began it may have died before it could.
        """
        is_due = self._cancellation_seen and not self._has_cancelled_jobs
        if is_due and self._active_jobs():
            self._cancel_jobs()

    def _end_at_cost_limit(self, statuses: Mapping[str, JobStatus]) -> bool:
        """End the jobs of a run that reaches its cost limit. Return whether they were ended now."""
        if self.plan.max_cost_usd is None or not self._active_jobs() or self._has_cancelled_jobs:
            return False
        limit = self._make_status(statuses).cost_limit
        if limit is None:
            return False
        if limit.reached_at is None:
            if limit.counted_usd < limit.limit_usd or self._is_cancelled():
                return False
            intent = self._costs.reach(limit, self.clock())
            self.store.create(self.layout.cancellation, intent.to_json())
        self._cancel_jobs()
        return True

    def _is_active(self) -> bool:
        """Return whether a few calls show that the run has not ended. Otherwise, it may have."""
        jobs = self._active_jobs()[::-1]  # the last ones have probably not ended
        return bool(jobs) and isinstance(self.backend, Samples) and self.backend.is_active(jobs)

    def _end_leftovers(self, status: RunStatus) -> Sequence[str]:
        if not isinstance(self.backend, Leftovers):
            return ()
        finished = {view.job.name for view in status.jobs if view.result is not None}
        return self.backend.end_leftovers(finished)

    def _after_gates(self, jobs: Sequence[PlannedJob]) -> Sequence[PlannedJob]:
        """Return the jobs that may be submitted, after the held ones that are skipped have ended.

        A held job is decided on once all jobs before it have succeeded.
        """
        closed = {job.name: job for job in self._gates.closed(jobs)}
        kept = set(closed)
        while ready := [job for job in closed.values() if self._has_succeeded(job.after)]:
            if self._is_cancelled():
                break
            results = {n: view.result for n, view in self._ended.items() if view.result is not None}
            skipped = self._gates.skip(ready, results)
            self._read_results(skipped)
            for job in ready:
                del closed[job.name]
            kept = {*closed, *(job.name for job in skipped), *self._ended}
        return [job for job in jobs if job.name not in kept and self._is_open(job)]

    def _is_open(self, job: PlannedJob) -> bool:
        """Return whether a job waits neither for approvals nor for pipelines of dynamic steps."""
        producers = [self._dynamic[step] for step in job.expansions if step in self._dynamic]
        return self._is_approved(job) and self._has_succeeded(producers)

    @cached_property
    def _dynamic(self) -> Mapping[str, str]:
        """Job of each dynamic step."""
        dynamic = self.plan.dynamic
        return {step: job.name for job in self.plan.jobs for step in job.steps if step in dynamic}

    def _is_approved(self, job: PlannedJob) -> bool:
        """Return whether all approvals that a job waits for are given."""
        return all(
            name in self._approvals and self._approvals[name].state is ApprovalState.APPROVED
            for name in job.approvals
        )

    def _has_succeeded(self, jobs: Collection[str]) -> bool:
        """Return whether all these jobs have succeeded."""
        return all(
            job in self._ended and self._ended[job].state is JobState.SUCCEEDED for job in jobs
        )

    def _submit(self, jobs: Sequence[PlannedJob]) -> None:
        if not jobs:
            return
        done = {n for n, view in self._ended.items() if view.state is JobState.SUCCEEDED}
        self.backend.submit(jobs, done)
        # A concurrent cancel may have missed these jobs.
        if self._is_cancelled():
            self.backend.cancel(jobs)

    def _observe(self) -> Mapping[str, JobStatus]:
        self._read_store()
        if not self._active_jobs():
            self._read_approvals(cancelled=False)
            return {}
        statuses = self._poll()
        # After the poll: a job writes its result before it ends.
        self._read_results(
            [
                job
                for job in self._active_jobs()
                if job.name not in self._unfinished and self._may_have_ended(statuses, job)
            ]
        )
        self._losses_seen.update((job, len(status.lost)) for job, status in statuses.items())
        self._read_skips(statuses)
        active = self._active_jobs()
        cancelled = self._cancellation_seen = bool(active) and self._is_cancelled()
        self._read_approvals(cancelled)
        failed = self._repeater.settle(self.plan, statuses, self._ended, cancelled)
        for job in active:
            if job.name in failed:
                self._ended[job.name] = self._view_of(job, failed[job.name])
        active = [job for job in active if job.name not in failed]
        self._events = self.reports.events(_attempts(active, statuses))
        for job in active:  # in plan order: parents are settled before their children
            if job.name in self._repeater.found or job.name in self._unfinished:
                continue
            status = statuses.get(job.name, _UNKNOWN)
            view = self._blocked(job) or self._without_result(job, status, cancelled)
            if view is not None:
                self._ended[job.name] = view
        return statuses

    def _poll(self) -> Mapping[str, JobStatus]:
        statuses = self.backend.statuses()
        self._lost.update((job, status.lost) for job, status in statuses.items())
        self._costs.see(statuses)
        self._times.update(
            (job, status.times) for job, status in statuses.items() if status.times != JobTimes()
        )
        return statuses

    def _read_store(self) -> None:
        """Read new moves, and all results unless they were read."""
        can_move = isinstance(self.backend, Repeats)
        if can_move and (self._active_jobs() or not self._results_read):
            for move in self._mover.records.read_new():
                self._apply(move)
        if not self._results_read:
            # Backends forget old jobs and the store does not.
            self._read_results(self.plan.jobs)
            self._results_read = True

    def _read_approvals(self, cancelled: bool) -> None:
        """Read the approvals, after the poll: who answers starts a driver if no job is active."""
        if self.plan.approvals:
            now = None if cancelled else self.clock()
            self._approvals = self.answers.read(self.plan, self._ended, now)
            refusals = {name: view.refusal for name, view in self._approvals.items()}
            # The jobs of a run that is cancelled are cancelled, whatever else keeps them back.
            self._refusals = {} if cancelled else refusals

    def _may_have_ended(self, statuses: Mapping[str, JobStatus], job: PlannedJob) -> bool:
        """Return whether a job may have a result that this client has not read."""
        status = statuses.get(job.name)
        if status is None:
            return False
        # A job that never started can't have ended.
        if status.state.ended or (status.state is JobState.LOST and status.attempt > 0):
            return True
        # A host may be lost after the job has committed its result.
        return len(status.lost) > self._losses_seen.get(job.name, 0)

    def _active_jobs(self) -> list[PlannedJob]:
        return [job for job in self.plan.jobs if job.name not in self._ended]

    def _read_results(self, jobs: Sequence[PlannedJob]) -> None:
        summaries = self.reports.summaries([job.name for job in jobs])
        for job in jobs:
            if (summary := summaries.get(job.name)) is None:
                continue
            if not isinstance(self.backend, Repeats) or not self._repeater.takes(job, summary):
                self._settle(job, summary)
        self._block()

    def _block(self) -> None:
        """End the jobs whose parents have failed."""
        for job in self._active_jobs():
            if (view := self._blocked(job)) is not None:
                self._ended[job.name] = view

    def _read_skips(self, statuses: Mapping[str, JobStatus]) -> None:
        """Read the results of the held jobs that other clients have skipped."""
        read: set[str] = set()
        while jobs := [
            job
            for job in self._gates.closed(self._active_jobs())
            if job.name not in read
            and statuses.get(job.name, _UNKNOWN).state is JobState.LOST
            and self._has_succeeded(job.after)
        ]:
            self._read_results(jobs)  # then perhaps those of the jobs after them
            read.update(job.name for job in jobs)

    def _view_of(self, job: PlannedJob, summary: JobSummary) -> JobView:
        return JobView.of_result(job, summary, self._ran_on(job, summary))

    def _without_result(
        self, job: PlannedJob, status: JobStatus, cancelled: bool
    ) -> JobView | None:
        """Return the final view of a job without a result, or None while it may still commit."""
        parents = {p: self._ended[p].state for p in job.after if p in self._ended}
        stopped = cancelled and (status.state.ended or status.state is JobState.LOST)
        if stopped or JobState.CANCELLED in parents.values():
            return self._ended_with_run(job, status)
        if not status.state.ended or len(parents) < len(job.after):
            # A child can't end before its parents; the poll of the parents was just earlier.
            return None
        machine = self._mover.next_machine(self.plan, job, status)
        if machine is not None and machine.is_affordable:
            return None
        reason = status.reason or "the job ended without a result; see its log"
        if machine is not None:
            reason += (
                f"; it does not move to {machine_after(job, machine.place)}, because the run could "
                f"then cost more than max_cost_usd, {usd(self.plan.max_cost_usd or 0)}"
            )
        if status.state is JobState.SUCCEEDED:
            reason = "the backend reports success, but the job left no result"
        events = self._events.get(job.name)
        cause = machine.cause if machine is not None else status.cause
        if cause is Cause.TIME_LIMIT and has_used_share(job, status.last):
            cause = Cause.COST_LIMIT
            reason += f"; {share_reason(job, self.record.run_id)}"
        failure = StepFailure(kind="JobEnded", message=reason, cause=cause or Cause.STEP)
        reports = _steps_cut_off(job, events, status, StepState.FAILED, failure)
        ran_on = self._ran_on(job, events)
        return JobView(job, JobState.FAILED, status.attempt, reason, reports, ran_on=ran_on)

    def _ended_with_run(self, job: PlannedJob, status: JobStatus) -> JobView:
        """Return the final view of a job of a run that was cancelled, or reached its cost limit."""
        state, step_state, reason = JobState.CANCELLED, StepState.CANCELLED, None
        failure = StepFailure(
            kind="JobEnded", message="the run was cancelled", cause=Cause.CANCELLED
        )
        if self._costs.reached is not None:
            reason = end_reason(self._costs.reached)
            failure = StepFailure(kind="JobEnded", message=reason, cause=Cause.COST_LIMIT)
            if status.attempt:
                state, step_state = JobState.FAILED, StepState.FAILED
        events = self._events.get(job.name)
        reports = _steps_cut_off(job, events, status, step_state, failure)
        steps = reports if status.attempt else ()
        ran_on = self._ran_on(job, events)
        return JobView(job, state, status.attempt, reason, steps, ran_on=ran_on)

    def _move(self, statuses: Mapping[str, JobStatus]) -> Mapping[str, JobStatus]:
        """Move the jobs that can't finish where they are, and return the statuses that still count.

        A job that waits for a machine in vain is ended at its service, and moves once it has ended.
        """
        backend = self.backend
        if not isinstance(backend, Moves):
            return statuses
        # A job that reads a damaged value is executed again, whatever ended it after its result.
        kept = {*self._repeater.found, *self._unfinished}
        active = [job for job in self._active_jobs() if job.name not in kept]
        ready = [job for job in active if self._is_ready(job)]
        moving = self._mover.moving(self.plan, ready, statuses)
        if not moving or self._is_cancelled():
            return statuses
        submissions = {job.name: job.submission for job in self.plan.jobs}
        for machine in moving:
            if machine.is_waiting:
                self._mover.records.note_withdrawal(machine.job)
                backend.withdraw(machine.job.name)
            else:
                self._apply(self._mover.records.record(machine.move(self.clock())))
        return self._still_valid(statuses, submissions)

    def _withdraw_finished(self, statuses: Mapping[str, JobStatus]) -> None:
        """End the jobs with a result that wait for a machine again: their host was lost at the end.

        Otherwise, a machine would start for nothing, and the jobs after them would wait for it.
        """
        if not isinstance(self.backend, Moves):
            return
        for job, status in statuses.items():
            waits = status.state is JobState.QUEUED and job not in self._withdrawn
            if waits and job in self._ended and self._ended[job].result is not None:
                self.backend.withdraw(job)
                self._withdrawn.add(job)

    def _repeat(self, statuses: Mapping[str, JobStatus]) -> Mapping[str, JobStatus]:
        """Execute jobs again whose values are damaged, and return the statuses that still count."""
        if not self._repeater.found or self._is_cancelled():
            return statuses
        submissions = {job.name: job.submission for job in self.plan.jobs}
        for move in list(self._repeater.moves(self.plan, statuses, self._lost, self.clock())):
            self._apply(self._mover.records.record(move))
        return self._still_valid(statuses, submissions)

    def _still_valid(
        self, statuses: Mapping[str, JobStatus], submissions: Mapping[str, int]
    ) -> Mapping[str, JobStatus]:
        """Return the statuses of the jobs that were not submitted again since then."""
        return {
            job.name: statuses[job.name]
            for job in self.plan.jobs
            if job.name in statuses and job.submission == submissions[job.name]
        }

    def _apply(self, move: Move) -> None:
        self.plan = moved(self.plan, move)
        self._lost.pop(move.job, None)  # part of the move
        self._costs.forget(move.job)
        self._ended.pop(move.job, None)  # its result is read again, with its new machine
        self._unfinished.pop(move.job, None)
        self._expanded.pop(move.job, None)
        self._losses_seen.pop(move.job, None)
        self._withdrawn.discard(move.job)
        if move.repeats is not None:
            self._repeater.forget(move.job)
            self.reports.repetitions = {
                job.name: job.repetition for job in self.plan.jobs if job.repetition
            }
        if isinstance(self.backend, Repeats):
            self.backend.move(self.plan)

    def _needs_client(self, view: JobView, statuses: Mapping[str, JobStatus]) -> bool:
        """Return whether a job could be submitted or moved now."""
        if view.job.name in self._repeater.found:
            return True
        if (unfinished := self._unfinished.get(view.job.name)) is not None:
            expansion = self._expansions.views.get(unfinished.step)
            return expansion is None or expansion.needs_client
        status = statuses.get(view.job.name, _UNKNOWN)
        if status.state is JobState.LOST:
            return self._is_ready(view.job) and self._is_open(view.job)
        return status.state.ended and self._movable(view.job, status) is not None

    def _is_ready(self, job: PlannedJob) -> bool:
        """Return whether all jobs before a job have ended."""
        return all(parent in self._ended for parent in job.after)

    def _movable(self, job: PlannedJob, status: JobStatus) -> NextMachine | None:
        """Return where a job continues that ended without a result; None if it has failed.

        None, too, while a job before it has not ended: Batch ends both.
        """
        if not self._is_ready(job):
            return None
        machine = self._mover.next_machine(self.plan, job, status)
        return machine if machine is not None and machine.is_affordable else None

    def _blocked(self, job: PlannedJob) -> JobView | None:
        """Return the final view of a job whose parent has failed, or None."""
        failures = (JobState.FAILED, JobState.BLOCKED)
        failed = [p for p in job.after if p in self._ended and self._ended[p].state in failures]
        if not failed:
            reason = next(filter(None, map(self._refusals.get, job.approvals)), None)
            return None if reason is None else JobView(job, JobState.BLOCKED, reason=reason)
        more = f" and {len(failed) - _MAX_NAMES:,} more" if failed[_MAX_NAMES:] else ""
        names = ", ".join(failed[:_MAX_NAMES])
        return JobView(job, JobState.BLOCKED, reason=f"{names}{more} did not succeed")

    def _make_status(self, statuses: Mapping[str, JobStatus]) -> RunStatus:
        views = dict(self._ended)
        active = self._active_jobs()
        unended = {step for job in active for step in job.steps}
        for job in active:
            if (unfinished := self._unfinished.get(job.name)) is not None:
                view = self._expansions.views.get(unfinished.step)
                ran_on = self._ran_on(job, unfinished.summary)
                views[job.name] = running_view(unfinished, view, ran_on)
                continue
            status = self._visible_status(job, statuses.get(job.name, _UNKNOWN))
            if status.reason is None and status.state is JobState.WAITING:
                status = replace(status, reason=self._reason_to_wait(job, unended))
            events = self._events.get(job.name) if _has_begun(status) else None
            views[job.name] = JobView(
                job,
                status.state,
                status.attempt,
                status.reason,
                events.steps if events is not None else (),
                ran_on=self._ran_on(job, events),
            )
        run_status = RunStatus(
            run_id=self.record.run_id,
            pipeline=self.record.pipeline,
            backend=self.record.backend,
            created_at=self.record.created_at,
            jobs=tuple(views[job.name] for job in self.plan.jobs),
            reused=self.plan.reused,
            moves=tuple(self._mover.records.known),
            lost=self._lost_attempts(),
            times=dict(self._times),
            maps=self.plan.maps,
            approvals=tuple(view.settled(self._ended) for view in self._approvals.values()),
            expansions=tuple(self._expansions.views.values()),
        )
        return self._with_end(self._costs.with_costs(self.plan, run_status, self.clock()))

    def _reason_to_wait(self, job: PlannedJob, unended: Collection[str]) -> str | None:
        asked = [name for name in job.approvals if self._is_asked(name)]
        if asked:
            return f"approval {', '.join(map(repr, asked))} has no answer"
        steps = {each.step for each in self._unfinished.values()}
        if expanding := [name for name in job.expansions if name in steps]:
            return f"the pipeline of {', '.join(map(repr, expanding))} has not succeeded yet"
        return waiting_reason(job, unended)

    def _is_asked(self, approval: str) -> bool:
        view = self._approvals.get(approval)
        return view is not None and view.state is ApprovalState.WAITING

    def _visible_status(self, job: PlannedJob, status: JobStatus) -> JobStatus:
        """Return the status to report: a job that does not run at the moment is waiting."""
        if (repetition := self._repeater.found.get(job.name)) is not None:
            names = ", ".join(each.name for each in repetition.jobs)
            reason = f"{repetition.reason}; executed again: {names}"
            return JobStatus(JobState.WAITING, status.attempt, reason)
        if (machine := self._movable(job, status)) is not None:
            reason = f"{machine.reason}; it moves to {machine_after(job, machine.place)}"
            return JobStatus(JobState.WAITING, status.attempt, reason)
        if status.state.ended:
            return JobStatus(JobState.WAITING)
        if status.state is JobState.LOST:
            return JobStatus(JobState.WAITING, reason=status.reason)
        return status

    def _with_end(self, status: RunStatus) -> RunStatus:
        self.awaits_bills = False
        if status.state is RunState.RUNNING:
            return status
        has_recorded_it = False
        if (outcome := read_outcome(self.store, self.record.run_id)) is None:
            if self._has_late_moves():
                return self._make_status({})
            ended_at = self._end_of(status)
            bills = self.backend.bills() if isinstance(self.backend, Bills) else JobBills()
            unbilled = tuple(job.name for job in self.plan.jobs if job.name in bills.awaited)
            self.awaits_bills = self._bills_wait.continues(bills)
            if self.awaits_bills:
                return replace(status, ended_at=ended_at, bills=bills.known, unbilled=unbilled)
            # Before a first attempt with a result, none was lost, except on managed spot capacity.
            if bills.known or any(view.attempt > 1 for view in status.jobs):
                with suppress(AwsRefusedError):  # not all who may read the run may see its jobs
                    self._poll()
            lost = self._lost_attempts()
            status = replace(status, lost=lost)
            status = self._costs.with_costs(self.plan, status, self.clock())
            outcome = RunOutcome(
                state=status.state,
                ended_at=ended_at,
                cost_usd=status.cost_usd,
                bills=dict(bills.known),
                unbilled=unbilled,
                lost=lost,
                times=self._times,
                ended=dict(status.ended),
                counted_usd=status.counted_usd,
                cost_limit=status.cost_limit,
                dropped=dropped_items(status),
            )
            if self.store.create(self.layout.outcome, outcome.to_json()):
                self._may_leave_jobs = has_recorded_it = True
                ended = replace(status, ended_at=outcome.ended_at)
                record_times(self.store, ended, self.reports)
        status = replace(
            status,
            ended_at=outcome.ended_at,
            bills=outcome.bills,
            unbilled=outcome.unbilled,
            lost=outcome.lost,
            ended=outcome.ended,
            times=outcome.times,
            counted_usd=status.counted_usd if outcome.counted_usd is None else outcome.counted_usd,
            cost_limit=outcome.cost_limit or status.cost_limit,
        )
        if has_recorded_it:
            for call in self.on_end:
                call(status)
        return status

    def _has_late_moves(self) -> bool:
        """Apply the moves that others have recorded since the last poll. Return whether any were.

        A job can move and end while this client is suspended, between two of its calls.
        """
        if not isinstance(self.backend, Repeats) or not (new := self._mover.records.read_new()):
            return False
        for move in new:
            self._apply(move)
        self._read_results(self._active_jobs())
        return True

    def _end_of(self, status: RunStatus) -> float:
        """Return when a run has ended, or when this client saw the end.

        It ends with its last result, or when an approval is refused after that.
        """
        results = [view.result for view in status.jobs if view.state is not JobState.BLOCKED]
        times = [result.ended_at for result in results if result is not None]
        sub_runs = (each.status for each in status.expansions if each.status is not None)
        sub_runs_ended = [each.ended_at for each in sub_runs if each.ended_at is not None]
        if times and len(times) == len(results):
            refused = (each.answer for each in status.approvals if each.refusal is not None)
            answers = (answer.answered_at for answer in refused if answer is not None)
            return max([*times, *sub_runs_ended, *answers])
        # The end of a job without a result is unknown.
        if self._end_seen_at is None:
            self._end_seen_at = self.clock()
        return self._end_seen_at

    def _lost_attempts(self) -> dict[str, LostAttempts]:
        """Return the lost attempts of the jobs that have any, on all their machines."""
        earlier: dict[str, list[LostAttempts]] = {}
        for move in self._mover.records.known:
            earlier.setdefault(move.job, []).append(move.lost)
        jobs = {}
        for job in self.plan.jobs:
            attempts = self._lost.get(job.name, ())
            ended = self._ended.get(job.name)
            if ended is not None and ended.result is not None:
                # A host that is lost after the job has committed its result costs nothing more.
                last = ended.result.attempt
                attempts = tuple(each for each in attempts if each.repeated_as <= last)
            here = price_attempts(attempts, partial(self.plan.price_of, job))
            total = total_lost([*earlier.get(job.name, ()), here])
            if total.count:
                jobs[job.name] = total
        return jobs

    def _ran_on(
        self, job: PlannedJob, report: AttemptEvents | JobSummary | None
    ) -> InstanceOffer | None:
        """Return the reported instance type with its price; None on this machine."""
        if report is None or report.instance_type is None or not job.offers:
            return None
        return self.plan.offer_of(job, report.instance_type)

    def _is_cancelled(self) -> bool:
        """Return whether the run is being ended, and note its cost limit if that is the reason."""
        key = self.layout.cancellation
        try:
            intent = read_document(Cancellation, self.store.get(key), f"{self.store.uri}/{key}")
        except ArtifactNotFoundError:
            return False
        except DamagedArtifactError:  # its existence decides
            return True
        self._costs.reached = intent.cost_limit
        return True


def _attempts(jobs: Sequence[PlannedJob], statuses: Mapping[str, JobStatus]) -> Mapping[str, int]:
    """Return the attempts whose events count, first those of jobs that have ended."""
    known = ((job.name, statuses.get(job.name, _UNKNOWN)) for job in jobs)
    begun = [(name, status) for name, status in known if _has_begun(status)]
    begun.sort(key=lambda pair: not pair[1].state.ended)
    return {name: status.attempt for name, status in begun}


def _has_begun(status: JobStatus) -> bool:
    return status.attempt > 0 and status.state not in (JobState.WAITING, JobState.QUEUED)


def _steps_cut_off(
    job: PlannedJob,
    events: AttemptEvents | None,
    status: JobStatus,
    state: StepState,
    failure: StepFailure,
) -> tuple[StepReport, ...]:
    """Return the step reports of a job that ended without reporting.

    The first step that has not ended gets the state and the failure. It ends with its attempt, if
    the service reports how long that ran.
    """
    reports = events.steps if events is not None else ()
    reports = reports or tuple(StepReport(name=name) for name in job.steps)
    unfinished = [
        report.name
        for report in reports
        if report.state in (StepState.RUNNING, StepState.WAITING) and report.ended_at is None
    ]
    starts = [report.started_at for report in reports if report.started_at is not None]
    ran_s = status.last.seconds if status.last is not None else 0.0
    ended_at = min(starts) + ran_s if starts and ran_s else None
    return tuple(
        report.model_copy(
            update={
                "state": state,
                "failure": failure,
                "ended_at": None if report.started_at is None else ended_at,
            }
        )
        if report.name in unfinished[:1]
        else report
        for report in reports
    )
