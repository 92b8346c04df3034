"""Decides which jobs are executed again because a stored value is missing or damaged.

The job that found such a value, the reader, has failed. The job that produced it is executed again,
once in a run, and then the reader. Results are never replaced: those of a repetition are stored
under its number, and those before it do not count any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from flowyml_aws.planning.alternatives import is_affordable
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.runtime.result import JobResult
from flowyml_aws.submission.losses import EndedAttempt, price_attempts
from flowyml_aws.submission.moves import MAX_MOVES, Move, machine_of, same_machine

__all__ = ["MAX_REPETITIONS", "Repetition", "find_repetition", "readers_of", "repetition_move"]

MAX_REPETITIONS = 1
"""Number of times that a job is executed again because its values were damaged."""


@dataclass(frozen=True, slots=True)
class Repetition:
    """Jobs that are executed again because values are missing or damaged.

    Attributes:
        reader: Job that has failed because of these values.
        assets: Their assets.
        producers: Jobs that produce them again. Without the reader itself, and without jobs that
            are repeated already.
    """

    reader: PlannedJob
    assets: tuple[str, ...]
    producers: tuple[PlannedJob, ...]

    @property
    def jobs(self) -> tuple[PlannedJob, ...]:
        """All jobs of the repetition, parents first."""
        return (*self.producers, self.reader)

    @property
    def reason(self) -> str:
        """Reason of the repetition, without a full stop."""
        names = ", ".join(map(repr, self.assets))
        if len(self.assets) == 1:
            return f"the value of asset {names} is missing or damaged"
        return f"the values of assets {names} are missing or damaged"


def find_repetition(
    plan: ExecutionPlan,
    reader: PlannedJob,
    result: JobResult,
    is_repeatable: Callable[[PlannedJob], bool],
) -> Repetition | None:
    """Return the jobs to execute again after a job has found a damaged value, or None.

    None if the value is from an earlier run, if the job that produced it was repeated before or
    must not be repeated, or if the run could then cost more than its limit.

    Args:
        plan: Plan of the run.
        reader: The job, which has failed.
        result: Its result.
        is_repeatable: Returns whether a job that has succeeded may be executed again.
    """
    planned = {job.name: job for job in plan.jobs}
    producers: dict[str, PlannedJob] = {}
    for asset, repetition in result.damaged.items():
        producer = planned.get(reader.reads.get(asset, reader.name) or "")
        if producer is None:  # the value is from an earlier run
            return None
        if producer.repetition > repetition:
            continue
        if producer.repetition >= MAX_REPETITIONS:
            return None
        if producer.name != reader.name:
            producers[producer.name] = producer
    found = Repetition(reader, tuple(result.damaged), tuple(producers.values()))
    is_possible = result.damaged and _is_affordable(plan, found.jobs)
    return found if is_possible and all(map(is_repeatable, found.producers)) else None


def readers_of(plan: ExecutionPlan, job: PlannedJob) -> Iterator[PlannedJob]:
    """Yield the jobs that read values of a job."""
    return (each for each in plan.jobs if job.name in each.reads.values())


def repetition_move(
    plan: ExecutionPlan,
    repetition: Repetition,
    job: PlannedJob,
    result: JobResult,
    lost: Sequence[EndedAttempt],
    now: float,
) -> Move:
    """Return the record that one of the jobs of a repetition is executed again.

    Args:
        plan: Plan of the run.
        repetition: The repetition.
        job: One of its jobs.
        result: Result of the job, which does not count any more.
        lost: Attempts of the job that were lost before this result.
        now: Seconds since the epoch.
    """
    seconds = result.ended_at - result.started_at if job.offers else 0.0
    last = EndedAttempt(result.attempt + 1, seconds, result.instance_type)
    return Move(
        job=job.name,
        number=job.moved + 1,
        cause=Cause.DAMAGED,
        reason=repetition.reason,
        machine=machine_of(job),
        lost=price_attempts([*lost, last], partial(plan.price_of, job)),
        moved_at=now,
        repeats=result.state,
        attempt=result.attempt,
    )


def _is_affordable(plan: ExecutionPlan, jobs: Sequence[PlannedJob]) -> bool:
    """Return whether jobs may be executed again within the cost limit of the run."""
    for job in jobs:
        if job.moved >= MAX_MOVES:
            return False
        if plan.is_priced and not is_affordable(plan, job, same_machine(job)):
            return False
        counted = job.model_copy(update={"moved": job.moved + 1})
        others = (counted if each.name == job.name else each for each in plan.jobs)
        plan = plan.model_copy(update={"jobs": tuple(others)})
    return True
