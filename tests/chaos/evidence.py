"""The facts about a schedule that was executed, which the invariants are checked against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Evidence", "MoveEvidence", "RunEvidence"]


@dataclass(frozen=True, slots=True)
class MoveEvidence:
    """A recorded move of a job.

    Attributes:
        number: Number of the job's move, from 1.
        cause: Cause, as it is recorded.
        machine: The new machine, as people see it.
        losses: Hosts that the job lost on the machine that it left.
    """

    job: str
    number: int
    cause: str
    machine: str
    losses: int = 0


@dataclass(frozen=True, slots=True)
class RunEvidence:
    """The facts about one run, after a client without faults has driven it to its end.

    Attributes:
        run_id: Id of the run, or of the run that continued it.
        state: State that a fresh client reports.
        driven_state: State that the client reported that drove it to its end.
        jobs: Steps of each job by run id and job, also of the runs that it continues. They contain
            the items of parts of maps.
        steps: State of each step that a fresh client reports.
        committed: Steps that each committed result contains as succeeded, by job.
        outputs: Values of the outputs that no step reads, as a fresh client loads them.
        expected: Same values, from plain calls of the steps in order.
        skipped: Steps that plain calls skip, because of their branch or of what they need.
        started: Jobs of this run that have begun an attempt.
        executions: Number of executions of each step that have begun.
        lost: Number of times that each job has lost its container, by run id and job.
        moves: Moves of this run, and of the runs that it continues.
        driven_moves: Moves of this run, as the client reported them that drove it to its end.
        reported_moves: Same moves, as a fresh client reports them.
        targets: Target of each job of this run at the end.
        damaged: Number of stored values that were damaged.
        failures: Failed jobs of this run, and of the runs that it continues, with the reason.
        left_jobs: Jobs and processes of the run that have not ended.
        billed_s: Recorded seconds of each job that its service bills, by run id and job.
        service_billed_s: Same seconds, according to the service.
        is_cancelled: Whether a client has cancelled the run.
        is_collected: Whether a garbage collection has deleted the run.
    """

    run_id: str
    state: str
    driven_state: str
    jobs: Mapping[str, Sequence[str]]
    steps: Mapping[str, str]
    committed: Mapping[str, Sequence[str]]
    outputs: Mapping[str, Any]
    expected: Mapping[str, Any]
    executions: Mapping[str, int]
    skipped: Sequence[str] = ()
    started: Sequence[str] = ()
    lost: Mapping[str, int] = field(default_factory=dict)
    moves: Sequence[MoveEvidence] = ()
    driven_moves: Sequence[MoveEvidence] = ()
    reported_moves: Sequence[MoveEvidence] = ()
    targets: Mapping[str, str] = field(default_factory=dict)
    damaged: int = 0
    failures: Sequence[str] = ()
    left_jobs: Sequence[str] = ()
    billed_s: Mapping[str, int] = field(default_factory=dict)
    service_billed_s: Mapping[str, int] = field(default_factory=dict)
    is_cancelled: bool = False
    is_collected: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """The facts about a schedule.

    Attributes:
        runs: The runs that a fresh client finds.
        problems: Mistakes of clients: tracebacks, no end, an error of a client without faults.
        lost_clients: Number of clients that ended in a way that stops their jobs on this machine.
        seconds: Wall time.
        faults: Number of faults that have happened, by kind.
    """

    runs: Sequence[RunEvidence]
    problems: Sequence[str] = ()
    lost_clients: int = 0
    seconds: float = 0.0
    faults: Mapping[str, int] = field(default_factory=dict)
