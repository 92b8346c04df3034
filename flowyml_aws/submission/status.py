"""The status of a run at one moment, from the store and the backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from flowyml_aws.core.maps import drop_cause
from flowyml_aws.planning.job_rows import job_names_text, job_rows, rows_by_job
from flowyml_aws.planning.plan import InstanceOffer, PlannedJob, PlannedMap, ReusedStep
from flowyml_aws.planning.wording import hourly_price
from flowyml_aws.runtime.idle_gpus import idle_text
from flowyml_aws.runtime.result import NO_ATTEMPT, StepFailure, StepReport, StepState
from flowyml_aws.runtime.summary import JobSummary
from flowyml_aws.submission.approvals import ApprovalState, ApprovalView
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.losses import LostAttempts, total_lost
from flowyml_aws.submission.map_progress import MapProgress, drop_notes, make_progress
from flowyml_aws.submission.moves import Move
from flowyml_aws.submission.record import Bill, CostLimit, RunState
from flowyml_aws.submission.times import JobTimes

__all__ = [
    "ExpansionView",
    "JobFailure",
    "JobView",
    "RunStatus",
    "client_warning",
    "dropped_items",
    "failures",
    "gpu_notes",
    "item_notes",
    "machine_notes",
    "missing_items",
    "sub_run_notes",
    "unbilled_notes",
    "value_notes",
]


@dataclass(frozen=True, slots=True)
class JobView:
    """The status of one job at one moment.

    Attributes:
        job: The job as planned.
        reason: Reason of the state, or None if none is known.
        steps: Reports of the steps; empty before the first report.
        result: Summary of the committed result, or None if there is none yet. Without tracebacks
            if many jobs have failed, so that not all results were read.
        ran_on: Instance type of the latest attempt with its price, as the job has reported it.
        needs_client: Whether it continues only when a client drives the run, which submits it or
            moves it to another machine. False in a status of a client that does so.
    """

    job: PlannedJob
    state: JobState
    attempt: int = 0
    reason: str | None = None
    steps: tuple[StepReport, ...] = ()
    result: JobSummary | None = None
    ran_on: InstanceOffer | None = None
    needs_client: bool = False

    @classmethod
    def of_result(
        cls, job: PlannedJob, result: JobSummary, ran_on: InstanceOffer | None
    ) -> JobView:
        """Return the view of a job that has committed a result, which decides everything."""
        state = JobState.SUCCEEDED if result.state == "succeeded" else JobState.FAILED
        return cls(job, state, result.attempt, result.reason, result.steps, result, ran_on)

    @property
    def instance_type(self) -> str | None:
        """Instance type that the job ran on; the planned one before the job has reported it."""
        return self.job.instance_type if self.ran_on is None else self.ran_on.instance_type

    @property
    def machines(self) -> str | None:
        """Instance type that the job ran on, or the planned one, with the number of nodes."""
        return self.job.machines if self.ran_on is None else self.ran_on.machines

    @property
    def is_skipped(self) -> bool:
        """True if all its steps were skipped before it was submitted: no attempt ran."""
        return self.result is not None and self.result.attempt == NO_ATTEMPT

    @property
    def state_name(self) -> str:
        """Name of its state for people."""
        return "skipped" if self.is_skipped else self.state.value

    @property
    def location(self) -> str:
        """Machines and target; empty if it was skipped."""
        if self.is_skipped:
            return ""
        if self.machines is None:
            return self.job.target
        return f"{self.machines} ({self.job.target})"

    @property
    def cost_usd(self) -> float | None:
        """Cost of the attempt with the result, without its start; None if it is unknown."""
        offer = self.ran_on or next(iter(self.job.offers), None)
        if self.result is None or offer is None or offer.price_usd_hour is None:
            return None
        return offer.price_usd_hour * (self.result.ended_at - self.result.started_at) / 3600


@dataclass(frozen=True, slots=True)
class ExpansionView:
    """The pipeline that a dynamic step has returned, as one client sees it.

    Attributes:
        step: The dynamic step.
        run_id: Id of the run of the pipeline.
        refusal: Reason why it was not started; None if it was.
        status: Status of its run at the last poll; None before the first one.
    """

    step: str
    run_id: str
    refusal: str | None = None
    status: RunStatus | None = None

    @property
    def failure(self) -> str | None:
        """Reason why it can't succeed any more; None if it can, or has succeeded."""
        if self.refusal is not None:
            return self.refusal
        if self.status is None or self.status.state in (RunState.RUNNING, RunState.SUCCEEDED):
            return None
        if self.status.state is RunState.CANCELLED:
            return f"its pipeline, run {self.run_id}, was cancelled"
        inner = self.first_failure
        if inner is None:
            return f"its pipeline, run {self.run_id}, failed: too few items of a map succeeded"
        path, failure = inner
        job = "/".join(path)
        return f"its pipeline, run {self.run_id}, failed: job {job} failed: {failure.reason}"

    @property
    def first_failure(self) -> tuple[tuple[str, ...], JobFailure] | None:
        """The first job that has failed, after the dynamic steps whose pipelines contain it."""
        failed = () if self.status is None else failures(self.status)
        if self.status is None or not failed:
            return None
        for view in self.status.expansions:
            if view.step in failed[0].steps and (inner := view.first_failure) is not None:
                path, failure = inner
                return (self.step, *path), failure
        return (self.step, failed[0].job), failed[0]

    @property
    def progress(self) -> str:
        """Text on its state while it runs."""
        return f"its pipeline is run {self.run_id}"

    @property
    def has_ended(self) -> bool:
        """True if its run has ended."""
        return self.status is not None and self.status.state is not RunState.RUNNING

    @property
    def needs_client(self) -> bool:
        """True if it continues only when a client drives the run."""
        status = self.status
        if status is None or status.state is not RunState.RUNNING:
            return True
        return any(view.needs_client for view in status.jobs)


@dataclass(frozen=True)
class RunStatus:
    """The status of a run at one moment.

    Attributes:
        jobs: Jobs in plan order.
        reused: Steps that are in no job: their outputs are reused, or they are skipped.
        bills: Bills of the jobs, once the run has ended.
        unbilled: Jobs whose bill, or a part of it, is not known although the run has ended.
        lost: Lost attempts of the jobs that have any, by job.
        times: Known times of the jobs at their services, by job.
        moves: Moves of jobs to other machines, in the order in which this client learned of them.
        ended: Last attempts of jobs that ended without a result, by job.
        counted_usd: Cost of all attempts so far, without starts of machines, as far as prices are
            known; None on this machine.
        cost_limit: Cost limit and counted cost; None without a limit, or on this machine.
        outage: Reason why AWS could not be asked now, so that this is an older status; or None.
        maps: Mapped steps of the plan, by name.
        approvals: Approvals of the plan, in the order in which they are asked.
        expansions: Pipelines that dynamic steps have returned.
    """

    run_id: str
    pipeline: str
    backend: str
    created_at: float
    jobs: tuple[JobView, ...] = field(default=())
    reused: Mapping[str, ReusedStep] = field(default_factory=dict)
    ended_at: float | None = None
    bills: Mapping[str, Bill] = field(default_factory=dict)
    unbilled: tuple[str, ...] = ()
    outage: str | None = None
    moves: tuple[Move, ...] = ()
    lost: Mapping[str, LostAttempts] = field(default_factory=dict)
    times: Mapping[str, JobTimes] = field(default_factory=dict)
    ended: Mapping[str, LostAttempts] = field(default_factory=dict)
    counted_usd: float | None = None
    cost_limit: CostLimit | None = None
    maps: Mapping[str, PlannedMap] = field(default_factory=dict)
    approvals: tuple[ApprovalView, ...] = ()
    expansions: tuple[ExpansionView, ...] = ()

    @property
    def state(self) -> RunState:
        """State of the whole run: it has ended when every job has ended.

        A run whose jobs have all succeeded has failed if too few items of a map succeeded.
        """
        states = {view.state for view in self.jobs}
        if not all(state.ended for state in states):
            return RunState.RUNNING
        if states & {JobState.FAILED, JobState.BLOCKED}:
            return RunState.FAILED
        if JobState.CANCELLED in states:
            is_over_limit = self.cost_limit is not None and self.cost_limit.reached_at is not None
            return RunState.FAILED if is_over_limit else RunState.CANCELLED
        return RunState.FAILED if missing_items(self) else RunState.SUCCEEDED

    @property
    def waits_for_approval(self) -> bool:
        """True if nothing can happen before someone answers an approval, so that no job runs."""
        asked = [each for each in self.approvals if each.state is ApprovalState.WAITING]
        asking = {
            each.step
            for each in self.expansions
            if each.status is not None and each.status.waits_for_approval
        }
        waiting = {job for each in asked for job in each.jobs}
        for view in self.jobs:  # in plan order: parents first
            if not asking.isdisjoint(view.job.steps) or not waiting.isdisjoint(view.job.after):
                waiting.add(view.job.name)
        return bool(waiting) and all(v.state.ended or v.job.name in waiting for v in self.jobs)

    @property
    def state_text(self) -> str:
        """State of the run for readers."""
        return "waiting for approval" if self.waits_for_approval else self.state.value

    @cached_property
    def progress(self) -> dict[str, MapProgress]:
        """Items of each mapped step, by its name."""
        if not self.maps:
            return {}
        jobs = (
            (view.job.name, view.state, tuple(r.name for r in self.reports_of(view)))
            for view in self.jobs
            if view.job.mapped
        )
        return make_progress(self.maps, self.steps, jobs)

    @cached_property
    def map_of(self) -> dict[str, MapProgress]:
        """Mapped step of each item, and of each part of it."""
        found: dict[str, MapProgress] = {}
        for step, each in self.progress.items():
            found.update(dict.fromkeys((item.report.name for item in each.items), each))
            if each.planned.parts is not None:
                found.update(dict.fromkeys(each.planned.members(step), each))
        return found

    @property
    def cost_usd(self) -> float | None:
        """Cost of all jobs without their start; None if there is none or one is unknown."""
        costs = [view.cost_usd for view in self.jobs if view.attempt]
        return None if None in costs or not costs else sum(filter(None, costs))

    @property
    def lost_attempts(self) -> LostAttempts:
        """Lost attempts of the whole run."""
        return total_lost(self.lost.values())

    @property
    def steps(self) -> dict[str, StepReport]:
        """Report of each step by name."""
        reports = {name: _cached(name, step) for name, step in self.reused.items()}
        for view in self.jobs:
            reports.update((report.name, report) for report in self.reports_of(view))
        return reports

    def reports_of(self, view: JobView) -> tuple[StepReport, ...]:
        """Return a report of each step of a job; once the job has ended, no step runs or waits.

        A step without a report is waiting. A step that its job did not end ends with the job, or
        with the run if the end of the job is unknown. Items of a list that the run has produced
        have a report once their job has started.
        """
        reported = {report.name: report for report in view.steps}
        names = view.job.steps
        if not reported.keys() <= set(names):  # the job knows the items of its parts
            names = tuple(dict.fromkeys((*reported, *names)))
        reports = (reported.get(name) or StepReport(name=name) for name in names)
        if not view.state.ended or view.state is JobState.SUCCEEDED:
            return tuple(reports)
        ended_at = self.ended_at if view.result is None else view.result.ended_at
        return tuple(_settled(report, view, ended_at) for report in reports)


@dataclass(frozen=True, slots=True)
class JobFailure:
    """A failed job.

    Attributes:
        job: Name of the job.
        reason: Reason in one line.
        step: First failed step, or the first unfinished step if no step failed.
        steps: Failure of each step that failed.
        failure: Failure that no step caused, or None.
    """

    job: str
    reason: str
    step: str
    steps: Mapping[str, StepFailure]
    failure: StepFailure | None

    def __str__(self) -> str:
        return f"job {self.job} failed: {self.reason}"

    @property
    def tracebacks(self) -> tuple[str, ...]:
        """Tracebacks of the failed steps and of the job."""
        all_failures = (*self.steps.values(), self.failure)
        return tuple(f.traceback for f in all_failures if f is not None and f.traceback)


def failures(status: RunStatus) -> list[JobFailure]:
    """Return the failed jobs of a run in plan order."""
    return [_failure(view) for view in status.jobs if view.state is JobState.FAILED]


def missing_items(status: RunStatus) -> list[str]:
    """Return a sentence on each map of which too few items succeeded, once its jobs have ended.

    A job that reads its list fails. Without one, this is why the run has failed.
    """
    if all(each.on_item_failure != "drop" for each in status.maps.values()):
        return []
    return [each.missing for each in status.progress.values() if each.missing is not None]


def dropped_items(status: RunStatus) -> int:
    """Return the number of items that failed and that the run continues without."""
    return sum(item.is_dropped for each in status.progress.values() for item in each.failed)


def item_notes(status: RunStatus) -> list[str]:
    """Return a sentence on each map of whose failed items the run continues without."""
    return list(drop_notes(status.progress.values()))


def sub_run_notes(status: RunStatus, path: tuple[str, ...] = ()) -> list[str]:
    """Return a line on each sub-run of a run, and on those inside it.

    Args:
        status: Status of the run.
        path: Dynamic steps whose sub-runs contain the run, the outermost first.
    """
    notes: list[str] = []
    for view in status.expansions:
        if view.status is None:
            continue  # the job of the step has the reason
        names = (*path, view.step)
        ended = sum(job.state.ended for job in view.status.jobs)
        notes.append(
            f"pipeline of {'/'.join(names)}: run {view.run_id}, {view.status.state_text}, "
            f"{ended} of {len(view.status.jobs)} jobs ended"
        )
        notes += sub_run_notes(view.status, names)
    return notes


def client_warning(status: RunStatus) -> str | None:
    """Return a warning that jobs of the run wait for a client, with the command that drives it."""
    names = [view.job.name for view in status.jobs if view.needs_client]
    if not names:
        return None
    more = f" and {len(names) - 1} more" if names[1:] else ""
    return (
        f"warning: {names[0]}{more} can continue, but only while a client drives the run: "
        f"`flowyml-aws attach {status.run_id}`, unless another client does"
    )


def gpu_notes(status: RunStatus, now: float) -> list[str]:
    """Return a line on each step that did not use the GPUs of its job for ten minutes or longer.

    Args:
        status: Status of the run.
        now: Seconds since the epoch, until which such a time lasts if it has not ended.
    """
    notes = []
    for view in status.jobs:
        for report in status.reports_of(view):
            if (idle := report.gpu_idle) is not None:
                ended_at = report.ended_at or (status.ended_at if view.state.ended else None)
                notes.append(idle_text(report.name, idle, min(now, ended_at or now)))
    return notes


def machine_notes(status: RunStatus) -> list[str]:
    """Return a note on each job that ran on another instance type than the planned one.

    All jobs of a map that ran on the same type are one note.
    """
    subjects: dict[tuple[str, ...], list[str]] = {}
    for view in status.jobs:
        planned = next(iter(view.job.offers), None)
        ran_on = view.ran_on
        if planned is None or ran_on is None or ran_on.instance_type == planned.instance_type:
            continue
        text = (
            f"ran on {ran_on.machines}{hourly_price(ran_on.price_usd_hour)} "
            f"instead of {planned.machines}{hourly_price(planned.price_usd_hour)}"
        )
        subjects.setdefault((text, *(view.job.mapped or (view.job.name,))), []).append(
            view.job.name
        )
    rows = rows_by_job(job_rows(view.job for view in status.jobs)) if subjects else {}
    return [f"{job_names_text(names, rows)} {text}" for (text, *_), names in subjects.items()]


def unbilled_notes(status: RunStatus) -> list[str]:
    """Return a note on the jobs of a run that has ended whose bills are not known."""
    if not status.unbilled:
        return []
    rows = rows_by_job(job_rows(view.job for view in status.jobs))
    return [f"bill not reported by the service: {job_names_text(status.unbilled, rows)}"]


def value_notes(status: RunStatus) -> list[str]:
    """Return a note on each value of the program that was different in a job.

    A value that is different on the machine of a job, such as the device of `torch`, is expected. A
    value that is different in two jobs of one run may not be.
    """
    notes: list[str] = []
    seen: dict[str, dict[str, list[str]]] = {}
    for view in status.jobs:
        for name, digest in (view.result.changed if view.result is not None else {}).items():
            seen.setdefault(name, {}).setdefault(digest, []).append(view.job.name)
    rows = rows_by_job(job_rows(view.job for view in status.jobs)) if seen else {}
    for name, jobs in sorted(seen.items()):
        everywhere = job_names_text((job for names in jobs.values() for job in names), rows)
        if len(jobs) == 1:
            notes.append(f"{name} was evaluated in {everywhere}, and differs from its value here")
        else:
            notes.append(
                f"warning: {name} was evaluated in {everywhere}, with {len(jobs)} different "
                f"values; carry=[{name.rpartition('.')[2]!r}] gives all jobs the value of this "
                "machine"
            )
    return notes


def _failure(view: JobView) -> JobFailure:
    failed = {
        report.name: report.failure
        for report in view.steps
        if report.state is StepState.FAILED and report.failure is not None
    }
    ended = {report.name for report in view.steps if report.state in _ENDED_WELL}
    unfinished = [name for name in view.job.steps if name not in ended]
    return JobFailure(
        job=view.job.name,
        reason=view.reason or "no reason was reported",
        step=next(iter(failed), unfinished[0] if unfinished else view.job.steps[-1]),
        steps=failed,
        failure=view.result.failure if view.result is not None else None,
    )


_ENDED_WELL = {StepState.SUCCEEDED, StepState.SKIPPED, StepState.CACHED}


def _settled(report: StepReport, view: JobView, ended_at: float | None) -> StepReport:
    """Return the report of a step whose job has ended."""
    is_cancelled = view.state is JobState.CANCELLED
    state = report.state
    if state is StepState.WAITING:
        state = StepState.CANCELLED if is_cancelled and view.attempt else StepState.NOT_RUN
    elif state is StepState.RUNNING and report.ended_at is not None:
        state = StepState.NOT_RUN  # an item whose outputs were not stored
    elif state is StepState.RUNNING:
        state = StepState.CANCELLED if is_cancelled else StepState.FAILED
    if report.started_at is None or report.ended_at is not None:
        ended_at = report.ended_at
    return report.model_copy(update={"state": state, "ended_at": ended_at})


def _cached(name: str, step: ReusedStep) -> StepReport:
    if step.cause_of_skip is not None:
        return StepReport(name=name, state=StepState.SKIPPED, reason=step.cause_of_skip)
    if step.skipped:
        reason = f"skipped in run {step.run_id}: {next(iter(step.skipped.values()))}"
        return StepReport(name=name, state=StepState.SKIPPED, reason=reason)
    if step.dropped:
        cause = next(iter(step.dropped.values()))
        # An item that another one was dropped before did not run.
        state = StepState.FAILED if cause == drop_cause(name) else StepState.NOT_RUN
        return StepReport(name=name, state=state, reason=f"dropped in run {step.run_id}: {cause}")
    reason = f"reused from run {step.run_id}" if step.run_id else "no step that runs needs it"
    return StepReport(name=name, state=StepState.CACHED, reason=reason, produced_in=step.run_id)
