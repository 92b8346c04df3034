"""Moves of jobs to other machines: when a job moves, and the record of its moves.

A job that is executed again because a value was damaged moves to the same machine.

A move is a document that exists once, so that all clients of a run agree on it. Everything else
follows from the plan and the moves. A job moves after its last submission has ended; a job that
waits for a machine is withdrawn from its service before.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from flowyml_aws.artifacts.documents import Document, read_document
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.concurrency import STORE_REQUESTS, map_concurrently
from flowyml_aws.core.errors import ArtifactNotFoundError
from flowyml_aws.planning.needs import mib_text
from flowyml_aws.planning.plan import Alternative, ExecutionPlan, PlannedJob
from flowyml_aws.planning.wording import hourly_price
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.submission.backend import JobState, JobStatus
from flowyml_aws.submission.losses import LostAttempts

__all__ = [
    "CAPACITY_WAIT_S",
    "MAX_LOSSES",
    "MAX_MOVES",
    "Move",
    "MoveRecords",
    "alternative_of",
    "machine_after",
    "machine_of",
    "moved",
    "same_machine",
    "wants_other_capacity",
]

MAX_LOSSES = 2
"""Lost hosts after which a job leaves its capacity, if there is another one."""
CAPACITY_WAIT_S = 600.0
"""Seconds without capacity after which a job leaves its target, if there is another one."""
MAX_MOVES = 20
"""Moves after which a job fails: something else must be wrong."""


class Move(Document):
    """A move of a job to another machine. It is created once and never replaced.

    Attributes:
        number: Number of the job's move, from 1.
        cause: Cause for which the job could not finish.
        reason: Reason of the move, without a full stop.
        machine: The new machine and its price.
        losses: Hosts that the job lost on the machine that it left.
        lost: Attempts on that machine, which are all lost.
        moved_at: Seconds since the epoch, by the clock of the client.
        repeats: State of the result that does not count any more, because the job is executed
            again; None for a job without a result, which moves to another machine.
        attempt: Attempt that committed this result; 0 without one.
    """

    version: Literal[1] = 1
    job: str
    number: int
    cause: Cause
    reason: str
    machine: str
    losses: int = 0
    lost: LostAttempts = LostAttempts()
    moved_at: float
    repeats: Literal["succeeded", "failed"] | None = None
    attempt: int = 0

    def __str__(self) -> str:
        verb = "moved to" if self.repeats is None else "is executed again on"
        return f"{self.job} {verb} {self.machine}: {self.reason}"


def alternative_of(plan: ExecutionPlan, job: PlannedJob, cause: Cause | None) -> Alternative | None:
    """Return the machine that a job moves to for a cause, or None if there is none.

    A job that its service did not start is submitted again for the same machine.
    """
    if job.moved >= MAX_MOVES:
        return None
    if cause is Cause.DEPENDENCY:
        return same_machine(job)
    return plan.alternatives[job.moves[cause]] if cause in job.moves else None


def wants_other_capacity(
    plan: ExecutionPlan, job: PlannedJob, status: JobStatus, without_capacity: Collection[str]
) -> bool:
    """Return whether a job that does not run should continue on another target.

    Args:
        plan: Plan of the run.
        job: A job that has not ended.
        status: Its status.
        without_capacity: Targets that have had no capacity for too long.
    """
    place = alternative_of(plan, job, Cause.CAPACITY)
    if place is None or place.target == job.target:
        return False
    is_waiting = status.state is JobState.QUEUED or status.lacks_capacity
    if is_waiting and job.target in without_capacity:
        return True
    return status.state in (JobState.QUEUED, JobState.LOST) and status.losses >= MAX_LOSSES


def machine_after(job: PlannedJob, place: Alternative) -> str:
    """Return the machine that a job moves to: `m6i.large at $0.0960/h, on demand, on cpu`.

    It includes the memory that the job gets on the same type, and a larger disk.
    """
    offer = place.offers[0]
    capacity = "spot" if place.capacity == "spot" else "on demand"
    parts = [f"{offer.machines}{hourly_price(offer.price_usd_hour)}"]
    if place.needs.memory_mib != job.needs.memory_mib and offer.instance_type == job.instance_type:
        parts.append(f"{mib_text(place.needs.memory_mib)} memory")
    if place.needs.storage_gib != job.needs.storage_gib:
        parts.append(f"{place.needs.storage_gib}Gi disk")
    return ", ".join([*parts, capacity, f"on {place.target}"])


def machine_of(job: PlannedJob) -> str:
    """Return the machine of a job, in the form of `machine_after`."""
    return machine_after(job, same_machine(job)) if job.offers else "this machine"


def same_machine(job: PlannedJob) -> Alternative:
    """Return the machine of a job as one that it moves to."""
    return Alternative(**_place(job))


def moved(plan: ExecutionPlan, move: Move) -> ExecutionPlan:
    """Return the plan after a move. The jobs after the moved one are submitted again, too.

    Those after a job that had succeeded are not: they may have used its values. Those that read
    them wait for it again.
    """
    (job,) = (each for each in plan.jobs if each.name == move.job)
    changed = _repeated(job, move) if move.repeats is not None else _elsewhere(plan, job, move)
    affected = {move.job}
    jobs = []
    for each in plan.jobs:  # parents come before their children
        if each.name == move.job:
            each = changed
        elif move.repeats is not None and move.job in each.reads.values():
            after = tuple(dict.fromkeys((*each.after, move.job)))
            repetitions = _one_more(each, move.job)
            each = each.model_copy(update={"after": after, "repetitions": repetitions})
        is_after = move.repeats != "succeeded" and not affected.isdisjoint(each.after)
        if each.name in affected or is_after:
            affected.add(each.name)
            each = each.model_copy(update={"submission": each.submission + 1})
        jobs.append(each)
    return plan.model_copy(update={"jobs": tuple(jobs)})


def _elsewhere(plan: ExecutionPlan, job: PlannedJob, move: Move) -> PlannedJob:
    place = alternative_of(plan, job, move.cause)
    assert place is not None  # whoever recorded the move has the same plan
    declared = job.declared or (job.needs if place.needs != job.needs else None)
    return job.model_copy(update={**_place(place), "declared": declared, "moved": move.number})


def _repeated(job: PlannedJob, move: Move) -> PlannedJob:
    return job.model_copy(
        update={
            "moved": move.number,
            "moved_alone": job.moved_alone + (move.repeats == "succeeded"),
            "ended_attempts": move.attempt,
            "repetitions": _one_more(job, job.name),
        }
    )


def _one_more(job: PlannedJob, repeated: str) -> dict[str, int]:
    return {**job.repetitions, repeated: job.repetitions.get(repeated, 0) + 1}


def _place(of: PlannedJob | Alternative) -> dict[str, Any]:
    """Return what a job and an alternative have in common: the machine, and where it leads."""
    return {field: getattr(of, field) for field in Alternative.model_fields}


@dataclass
class MoveRecords:
    """The recorded moves of one run.

    Attributes:
        known: The moves that this client knows, in the order in which it learned of them.
    """

    store: ArtifactStore
    run_id: str
    known: list[Move] = field(default_factory=list)

    def read_new(self) -> Sequence[Move]:
        """Return the moves that this client does not know yet, those of one job in order."""
        keys = self._unknown_keys()
        new = map_concurrently(self._read, keys, limit=STORE_REQUESTS)
        new.sort(key=lambda move: move.number)
        self.known += new
        return new

    def record(self, move: Move) -> Move:
        """Record a move, and return it. Return another move if a client has recorded it before."""
        key = RunLayout(self.run_id).move(move.job, move.number)
        if not self.store.create(key, move.to_json()):
            move = self._read(key)
        self.known.append(move)
        return move

    def note_withdrawal(self, job: PlannedJob) -> None:
        """Record that a job is ended at its service so that it can move."""
        self.store.create(RunLayout(self.run_id).withdrawal(job.name, job.moved + 1), b"")

    def is_withdrawn(self, job: PlannedJob) -> bool:
        """Return whether a client ended a job at its service so that it can move."""
        try:
            self.store.get(RunLayout(self.run_id).withdrawal(job.name, job.moved + 1))
        except ArtifactNotFoundError:
            return False
        return True

    def _unknown_keys(self) -> list[str]:
        layout = RunLayout(self.run_id)
        known = {layout.move(move.job, move.number) for move in self.known}
        keys = (layout.moves + name for name in self.store.children(layout.moves))
        return [key for key in keys if key not in known]

    def _read(self, key: str) -> Move:
        return read_document(Move, self.store.get(key), f"{self.store.uri}/{key}")
