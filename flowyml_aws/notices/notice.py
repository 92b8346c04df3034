"""The notice of the end of a run: the JSON document that recipients get.

It contains no reasons of failures: messages of exceptions may contain data, and recipients may be
outside of the account.
"""

from __future__ import annotations

from typing import Literal

from flowyml_aws.artifacts.documents import Document
from flowyml_aws.core.amounts import counted, usd
from flowyml_aws.planning.wording import time_text
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.submission.losses import total_lost
from flowyml_aws.submission.status import RunStatus, dropped_items, failures

__all__ = ["Notice", "make_notice", "make_test_notice"]

_MAX_NAMES = 10


class Notice(Document):
    """A notice.

    Attributes:
        kind: `run-ended`, or `test` for a notice about no run.
        text: Sentence for people.
        run_id: Id of the run.
        pipeline: Name of the pipeline.
        backend: Services of the run: `local`, `batch`, `sagemaker` or `batch+sagemaker`.
        state: `succeeded`, `failed` or `cancelled`.
        created_at, ended_at: Seconds since the epoch.
        counted_usd: Counted cost of the run, without starts of machines, as far as prices are
            known; None on this machine.
        lost_attempts: Number of attempts that lost their host or ended without a result.
        lost_usd: Cost of these attempts, as far as prices are known.
        capacity_moves: Number of times that a job left its capacity, because it lost its hosts
            again and again or got none.
        failed_jobs: Names of failed jobs, at most ten.
        dropped_items: Number of items of maps that failed and that the run continued without.
        report: URL of the report of the run in the store; None if none is stored.
        location: URI of the documents of the run.
        command: Command that shows the run.
    """

    version: Literal[1] = 1
    kind: Literal["run-ended", "test"]
    text: str
    run_id: str | None = None
    pipeline: str | None = None
    backend: str | None = None
    state: str | None = None
    created_at: float | None = None
    ended_at: float | None = None
    counted_usd: float | None = None
    lost_attempts: int = 0
    lost_usd: float = 0.0
    capacity_moves: int = 0
    failed_jobs: tuple[str, ...] = ()
    dropped_items: int = 0
    report: str | None = None
    location: str | None = None
    command: str | None = None


def make_notice(status: RunStatus, location: str, report: str | None = None) -> Notice:
    """Return the notice of a run that has ended.

    Args:
        status: Its last status.
        location: URI of its documents.
        report: URL of its stored report, or None.
    """
    lost = total_lost(status.lost.values())
    failed = [failure.job for failure in failures(status)]
    notice = Notice(
        kind="run-ended",
        text="",
        run_id=status.run_id,
        pipeline=status.pipeline,
        backend=status.backend,
        state=status.state.value,
        created_at=status.created_at,
        ended_at=status.ended_at,
        counted_usd=status.counted_usd,
        lost_attempts=lost.count,
        lost_usd=lost.cost_usd,
        capacity_moves=sum(move.cause is Cause.CAPACITY for move in status.moves),
        failed_jobs=tuple(failed[:_MAX_NAMES]),
        dropped_items=dropped_items(status),
        report=report,
        location=location,
        command=f"flowyml-aws report {status.run_id}",
    )
    return notice.model_copy(update={"text": _text(notice, len(failed))})


def make_test_notice(by: str) -> Notice:
    """Return a notice about no run.

    Args:
        by: User and machine that send it.
    """
    return Notice(kind="test", text=f"Test notice of flowyml-aws, sent by {by}")


def _text(notice: Notice, failed: int) -> str:
    parts = [f"Run {notice.run_id} of pipeline {notice.pipeline!r}: {notice.state}"]
    if notice.created_at is not None and notice.ended_at is not None:
        parts[0] += f" after {time_text(max(0.0, notice.ended_at - notice.created_at))}"
    if notice.counted_usd is not None:
        parts.append(usd(notice.counted_usd))
    if failed:
        parts.append(f"{counted(failed, 'job')} failed")
    if notice.lost_attempts:
        parts.append(f"{counted(notice.lost_attempts, 'attempt')} lost")
    if notice.capacity_moves:
        parts.append(f"{counted(notice.capacity_moves, 'move')} to other capacity")
    if notice.dropped_items:
        parts.append(f"{counted(notice.dropped_items, 'item')} dropped")
    return "; ".join(parts)
