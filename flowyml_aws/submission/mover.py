"""Decides which jobs of a run move to other machines, from their statuses and the records."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from flowyml_aws.core.clock import monotonic
from flowyml_aws.planning.alternatives import is_affordable
from flowyml_aws.planning.plan import Alternative, ExecutionPlan, PlannedJob
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.submission.backend import JobState, JobStatus
from flowyml_aws.submission.losses import LostAttempts, price_attempts
from flowyml_aws.submission.moves import (
    CAPACITY_WAIT_S,
    Move,
    MoveRecords,
    alternative_of,
    machine_after,
    wants_other_capacity,
)

__all__ = ["Mover", "NextMachine"]

_UNKNOWN = JobStatus(JobState.LOST)


@dataclass(frozen=True, slots=True)
class NextMachine:
    """The machine on which a job could continue.

    Attributes:
        cause: Cause for which it can't finish where it is.
        place: The machine.
        lost: Attempts that are lost if it moves.
        is_affordable: Whether the run's cost limit allows the move.
    """

    job: PlannedJob
    status: JobStatus
    cause: Cause
    place: Alternative
    lost: LostAttempts
    is_affordable: bool

    @property
    def is_waiting(self) -> bool:
        """True if the job is still at its service, and has to be withdrawn before it moves."""
        return not self.status.state.ended and self.status.state is not JobState.LOST

    @property
    def reason(self) -> str:
        """Reason of the move, without a full stop."""
        if self.cause is Cause.DEPENDENCY:
            return "a job before it was killed after it had stored its result"
        machine = f"{self.job.machines} ({self.job.target})"
        if self.cause is not Cause.CAPACITY:
            return f"{self.cause.value} on {machine}"
        if self.status.losses:
            times = "once" if self.status.losses == 1 else f"{self.status.losses} times"
            return f"it lost its host {times} on {machine}"
        return f"no capacity for {machine}"

    def move(self, now: float) -> Move:
        """Return the move to the machine."""
        return Move(
            job=self.job.name,
            number=self.job.moved + 1,
            cause=self.cause,
            reason=self.reason,
            machine=machine_after(self.job, self.place),
            losses=self.status.losses,
            lost=self.lost,
            moved_at=now,
        )


@dataclass
class Mover:
    """The moves of one run, as one client sees them.

    Attributes:
        capacity_wait_s: Seconds without capacity after which jobs leave a target.
        clock: Seconds since any start.
    """

    records: MoveRecords
    capacity_wait_s: float = CAPACITY_WAIT_S
    clock: Callable[[], float] = monotonic
    _lacking_since: dict[str, float] = field(default_factory=dict)

    def next_machine(
        self, plan: ExecutionPlan, job: PlannedJob, status: JobStatus
    ) -> NextMachine | None:
        """Return where a job continues that ended without a result; None if it has failed."""
        if status.state is not JobState.FAILED:
            return None
        cause = status.cause
        may_be_withdrawn = cause in (None, Cause.CANCELLED) and Cause.CAPACITY in job.moves
        if may_be_withdrawn and self.records.is_withdrawn(job):
            cause = Cause.CAPACITY
        return self._next(plan, job, status, cause)

    def moving(
        self, plan: ExecutionPlan, jobs: Iterable[PlannedJob], statuses: Mapping[str, JobStatus]
    ) -> list[NextMachine]:
        """Return where jobs continue that can't finish where they are.

        Args:
            plan: Plan of the run.
            jobs: Jobs that have not ended, whose parents have succeeded.
            statuses: Their statuses, by name.
        """
        known = [(job, statuses.get(job.name, _UNKNOWN)) for job in jobs]
        empty = self._targets_without_capacity(known)
        moving = []
        for job, status in known:
            if wants_other_capacity(plan, job, status, empty):
                machine = self._next(plan, job, status, Cause.CAPACITY)
            else:
                machine = self.next_machine(plan, job, status)
            if machine is not None and machine.is_affordable:
                moving.append(machine)
        return moving

    def _next(
        self, plan: ExecutionPlan, job: PlannedJob, status: JobStatus, cause: Cause | None
    ) -> NextMachine | None:
        place = alternative_of(plan, job, cause)
        if cause is None or place is None:
            return None
        costs_nothing = cause is Cause.DEPENDENCY
        is_allowed = costs_nothing or is_affordable(plan, job, place)
        attempts = (*status.lost, status.last) if status.last is not None else status.lost
        lost = price_attempts(attempts, partial(plan.price_of, job))
        return NextMachine(job, status, cause, place, lost, is_allowed)

    def _targets_without_capacity(
        self, known: Iterable[tuple[PlannedJob, JobStatus]]
    ) -> Collection[str]:
        now = self.clock()
        lacking = {job.target for job, status in known if status.lacks_capacity}
        self._lacking_since = {t: self._lacking_since.get(t, now) for t in lacking}
        return {
            t for t, since in self._lacking_since.items() if now - since >= self.capacity_wait_s
        }
