"""The invariants of every schedule, as a pure function of the facts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from flowyml_aws.core.maps import is_part, item_name
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.submission.moves import MAX_LOSSES
from tests.chaos.evidence import Evidence, MoveEvidence, RunEvidence
from tests.chaos.schedule import Action, Loss, Schedule, Trouble, length_of

__all__ = ["LIMIT_S", "broken_invariants"]

LIMIT_S = 300.0
"""Longest time of a schedule, on a machine that is busy."""
_REASONS = {
    Trouble.RAISE: "ValueError: the first execution fails",
    Trouble.KILL: "SIGKILL",
    Trouble.DISK: Cause.DISK_FULL.value,
    Trouble.HANG: Cause.TIME_LIMIT.value,
    Trouble.STUCK: Cause.TIME_LIMIT.value,
}
_MEMORY_REASON = "out of memory"
_FULL_STORE_REASONS = ("No space left on device", Cause.DISK_FULL.value)


def broken_invariants(schedule: Schedule, evidence: Evidence) -> list[str]:
    """Return a sentence for each invariant that does not hold."""
    broken = list(evidence.problems)
    if len(evidence.runs) != schedule.runs:
        broken.append(f"{len(evidence.runs)} run(s) instead of {schedule.runs}")
    for run in evidence.runs:
        broken += (f"{run.run_id}: {sentence}" for sentence in _of_run(schedule, evidence, run))
    if evidence.seconds > LIMIT_S:
        broken.append(f"the schedule took {evidence.seconds:.0f} s, more than {LIMIT_S:.0f} s")
    return broken


def _of_run(schedule: Schedule, evidence: Evidence, run: RunEvidence) -> Iterator[str]:
    yield from (f"left after the end: {job}" for job in run.left_jobs)
    yield from _executions(schedule, evidence, run)
    expected = _expected_failures(schedule, run)
    for text in run.failures:
        if not any(part in text for part in expected):
            yield f"a job failed without a fault of the schedule: {text}"
    yield from _unnamed_items(schedule, run)
    yield from _branches(run)
    if run.is_collected:
        return
    yield from _state(run)
    yield from _commits(run)
    yield from _moves(schedule, run)
    if run.state == "succeeded":
        if run.outputs != run.expected:
            yield f"outputs {dict(run.outputs)} instead of {dict(run.expected)}"
        # A run that continues another one reuses its steps.
        unfinished = {n: s for n, s in run.steps.items() if s not in ("succeeded", "cached")}
        dropped = _dropped(schedule)
        left_out = {**dropped, **dict.fromkeys(run.skipped, "skipped")}
        if unwanted := {n: s for n, s in unfinished.items() if left_out.get(n) != s}:
            yield f"the run succeeded, but steps are {unwanted}"
        for step in run.skipped:
            if run.steps.get(step) in ("succeeded", "cached"):
                yield f"step {step} was not skipped"
        for step in dropped:
            if run.steps.get(step) in ("succeeded", "cached"):
                yield f"step {step} was not dropped"
    if run.billed_s != run.service_billed_s:
        yield f"billed {dict(run.billed_s)}, but the service bills {dict(run.service_billed_s)}"


def _branches(run: RunEvidence) -> Iterator[str]:
    """Yield a sentence for each step or job that ran although its branch was not chosen."""
    yield from (f"step {step} was executed" for step in run.skipped if run.executions.get(step))
    for job in run.started:
        if not set(run.jobs[f"{run.run_id} {job}"]) - set(run.skipped):
            yield f"job {job} was started, but all its steps are skipped"


def _unnamed_items(schedule: Schedule, run: RunEvidence) -> Iterator[str]:
    """Yield a sentence for each failure of an item that does not name the item."""
    for number, task in enumerate(schedule.tasks):
        for text in run.failures:
            if task.items is None or task.trouble is None or f"step 's{number}" not in text:
                continue
            if item_name(f"s{number}", task.items.item) not in text:
                yield f"the failed item is {task.items.item}, but the failure is {text}"


def _state(run: RunEvidence) -> Iterator[str]:
    allowed = {"succeeded", "cancelled"} if run.is_cancelled else {"succeeded"}
    if run.state not in allowed:
        yield f"the run is {run.state} instead of {' or '.join(sorted(allowed))}"
    if run.state != run.driven_state:
        yield f"a fresh client reports {run.state}, the client before it {run.driven_state}"


def _commits(run: RunEvidence) -> Iterator[str]:
    commits = Counter(step for steps in run.committed.values() for step in steps)
    for step, times in commits.items():
        if times > 1:
            yield f"step {step} was committed {times} times"
        if not run.executions.get(step) and not is_part(step):
            yield f"step {step} was committed without an execution"
    if run.state == "succeeded":
        for step, state in run.steps.items():
            if state == "succeeded" and not commits[step]:
                yield f"step {step} succeeded without a commit"


def _moves(schedule: Schedule, run: RunEvidence) -> Iterator[str]:
    moves, driven = (sorted(map(str, each)) for each in (run.reported_moves, run.driven_moves))
    if moves != driven:
        yield f"a fresh client reports the moves {moves}, the client before it {driven}"
    for job in sorted({move.job for move in run.reported_moves}):
        of_job = sorted(
            (move for move in run.reported_moves if move.job == job), key=lambda move: move.number
        )
        if (numbers := [move.number for move in of_job]) != list(range(1, len(of_job) + 1)):
            yield f"the moves of job {job} have the numbers {numbers}"
        is_there = of_job[-1].machine.endswith(f" on {run.targets[job]}")
        if not is_there and schedule.backend != "local":
            yield f"job {job} moved to {of_job[-1].machine}, but is on {run.targets[job]}"
    for move in run.moves:
        if not _has_cause(schedule, run, move):
            yield f"job {move.job} moved without a fault of the schedule: {move.cause}"


def _has_cause(schedule: Schedule, run: RunEvidence, move: MoveEvidence) -> bool:
    """Return whether a fault of the schedule can cause a move."""
    if move.cause == Cause.DAMAGED.value:
        return run.damaged > 0
    if move.cause == Cause.CAPACITY.value:
        # A slow start on SageMaker is the same as a wait.
        is_slow = schedule.backend == "sagemaker"
        lacks = is_slow or any(each.capacity == "spot" for each in schedule.shortages)
        return schedule.has_spot and (lacks or move.losses >= MAX_LOSSES)
    if move.cause == Cause.OUT_OF_MEMORY.value:
        return any(loss.kind is Loss.MEMORY for loss in schedule.losses)
    if move.cause == Cause.DISK_FULL.value:
        return any(task.trouble is Trouble.DISK for task in schedule.tasks)
    return move.cause == Cause.DEPENDENCY.value


def _executions(schedule: Schedule, evidence: Evidence, run: RunEvidence) -> Iterator[str]:
    jobs_of: dict[str, list[str]] = {}
    for job, steps in run.jobs.items():
        for step in steps:
            jobs_of.setdefault(step, []).append(job)
    dropped = _dropped(schedule)
    for number, task in enumerate(schedule.tasks):
        for index in (None,) if task.items is None else range(length_of(schedule.tasks, number)):
            step = f"s{number}" if index is None else item_name(f"s{number}", index)
            jobs = jobs_of.get(step, [])
            losses = sum(run.lost.get(job, 0) for job in jobs)
            if schedule.backend == "local":
                losses = evidence.lost_clients + _times_full(schedule)
            losses += _troubles(schedule, run, jobs, step) + run.damaged
            names = {job.rpartition(" ")[2] for job in jobs}
            losses += sum(_may_have_begun(move) and move.job in names for move in run.moves)
            # A continued run tries dropped items again.
            losses += len(jobs) - 1 if step in dropped and jobs else 0
            has_failures = task.items is None or task.items.item == index
            allowed = 1 + losses + (task.failures if has_failures else 0)
            if (times := run.executions.get(step, 0)) > allowed:
                yield f"step {step} was executed {times} times, and may be executed {allowed} times"


def _dropped(schedule: Schedule) -> dict[str, str]:
    """Return the states of the items that are left out: of those that fail, and those after."""
    states: dict[str, str] = {}
    for number, task in enumerate(schedule.tasks):
        if task.items is None:
            continue
        if task.items.drops:
            states[item_name(f"s{number}", task.items.item)] = "failed"
        for index in range(length_of(schedule.tasks, number)):
            if item_name(f"s{task.items.over}", index) in states:
                states[item_name(f"s{number}", index)] = "not run"
    return states


def _may_have_begun(move: MoveEvidence) -> bool:
    """Return whether a job may have begun at the moment at which it was taken from its target."""
    return move.cause == Cause.CAPACITY.value


def _troubles(schedule: Schedule, run: RunEvidence, jobs: Sequence[str], step: str) -> int:
    """Return how often the steps of jobs end them; of all jobs if they are unknown.

    An item that raises an exception does not end the job of the other items.
    """
    of_jobs = {each for job in jobs for each in run.jobs[job]}
    ends = 0
    for number, task in enumerate(schedule.tasks):
        name = f"s{number}" if task.items is None else item_name(f"s{number}", task.items.item)
        if task.trouble is None or (of_jobs and name not in of_jobs):
            continue
        ends += name == step or not (task.items and task.trouble is Trouble.RAISE)
    return ends


def _expected_failures(schedule: Schedule, run: RunEvidence) -> list[str]:
    """Return parts of the reasons for which a job of a run may fail."""
    parts = [_REASONS[task.trouble] for task in schedule.tasks if task.trouble is not None]
    if any(loss.kind is Loss.MEMORY for loss in schedule.losses):
        parts.append(_MEMORY_REASON)
    parts += _FULL_STORE_REASONS if _times_full(schedule) else ()
    return [*parts, Cause.DAMAGED.value] if _may_fail_by_damage(schedule, run) else parts


def _may_fail_by_damage(schedule: Schedule, run: RunEvidence) -> bool:
    """Return whether a damaged value may fail a run, which produces it again once.

    It can't if the value is from another run: of the same store, or one that it continues. A job
    with a decision, which is not cached here, is not executed again once another one has read it.
    """
    decides = any(task.branch is not None for task in schedule.tasks)
    is_continued = any(Cause.DAMAGED.value not in text for text in run.failures)
    has_ended = run.is_cancelled or run.is_collected or is_continued
    return run.damaged > 1 or (run.damaged == 1 and (schedule.runs > 1 or has_ended or decides))


def _times_full(schedule: Schedule) -> int:
    return sum(client.action is Action.FILL for client in schedule.clients)
