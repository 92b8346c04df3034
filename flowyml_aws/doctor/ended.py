"""Diagnosis of a run that has ended: its outcome, and the command that continues it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from flowyml_aws.core.amounts import counted
from flowyml_aws.core.errors import DamagedArtifactError, RunNotFoundError
from flowyml_aws.core.findings import Finding
from flowyml_aws.report.wording import time_text
from flowyml_aws.runtime.result import StepState
from flowyml_aws.submission.cancellation import Cancellation, read_cancellation
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.record import (
    RunState,
    created_at,
    read_outcome,
    read_record,
    run_ids,
)
from flowyml_aws.submission.status import RunStatus

__all__ = ["end_finding", "find_end"]

_MAX_LATER_RUNS = 20
_FINISHED = (StepState.SUCCEEDED, StepState.CACHED, StepState.SKIPPED)


def find_end(driver: RunDriver, status: RunStatus) -> Finding | None:
    """Return the finding for a run that has ended or is cancelled; None for any other run."""
    run_id = status.run_id
    cancellation = read_cancellation(driver.store, run_id)
    later = None
    if status.state in (RunState.FAILED, RunState.CANCELLED):
        later = next(_later_successes(driver), None)
    return end_finding(status, cancellation, later)


def end_finding(
    status: RunStatus, cancellation: Cancellation | None, later: str | None
) -> Finding | None:
    """Return the finding for a run that has ended or is cancelled; None for any other run.

    Args:
        status: Status of the run.
        cancellation: Request to cancel it, or None if there is none.
        later: Id of a later run of the pipeline that has succeeded, or None.
    """
    states = Counter(report.state for report in status.steps.values())
    finished = sum(states[state] for state in _FINISHED)
    progress = f"{finished} of {counted(states.total(), 'step')} finished before"
    superseded = f"run {later} of this pipeline has succeeded since then" if later else ""
    resume = "" if later else f"`flowyml-aws resume {status.run_id}` continues it as a new run"
    match status.state:
        case RunState.RUNNING if cancellation is None:
            return None
        case RunState.RUNNING:
            what = f"{_ended_by(cancellation)}, and its jobs are ending"
            return Finding("run-cancelled", "note", what)
        case RunState.CANCELLED:
            what = _ended_by(cancellation)
            return Finding(
                "run-cancelled",
                "note" if later else "warning",
                what,
                superseded or progress,
                resume,
            )
        case RunState.FAILED:
            what = f"The run failed{_at(status.ended_at)}"
            # Not a problem of its own: the failed jobs are.
            return Finding("run-failed", "note", what, superseded or progress, resume)
    counts = ", ".join(f"{count} {state.value}" for state, count in states.most_common())
    if states and states.keys() == {StepState.SKIPPED}:
        reasons = (f"step {r.name!r}: {r.reason}" for r in status.steps.values() if r.reason)
        return Finding(
            "run-skipped", "note", "All steps of the run were skipped", next(reasons, "")
        )
    return Finding("run-succeeded", "ok", f"The run has succeeded; steps: {counts or 'none'}")


def _ended_by(cancellation: Cancellation | None) -> str:
    """Return a sentence on who ended a run before all its jobs had ended, and when."""
    if cancellation is None:
        return "The run was cancelled"
    if cancellation.cost_limit is not None:
        return f"The run reached its cost limit{_at(cancellation.ended_at)}"
    by = f" by {cancellation.by}" if cancellation.by else ""
    return f"The run was cancelled{by}{_at(cancellation.ended_at)}"


def _at(time: float | None) -> str:
    return "" if time is None else f" at {time_text(time)}"


def _later_successes(driver: RunDriver) -> Iterator[str]:
    """Yield the ids of later runs of the same pipeline that have succeeded, newest first."""
    record, store = driver.record, driver.store
    slug, time = record.run_id.rsplit("-", 3)[0], created_at(record.run_id)
    later = [
        run_id
        for run_id in run_ids(store)
        if run_id.rsplit("-", 3)[0] == slug and created_at(run_id) >= time
    ]
    for run_id in later[:_MAX_LATER_RUNS]:
        try:
            other, outcome = read_record(store, run_id), read_outcome(store, run_id)
        except (RunNotFoundError, DamagedArtifactError):
            continue
        is_later = other.pipeline == record.pipeline and other.created_at > record.created_at
        if is_later and outcome is not None and outcome.state is RunState.SUCCEEDED:
            yield run_id
