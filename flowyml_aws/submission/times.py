"""Times of a job at its service, and the parts of its wait for a machine."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from flowyml_aws.artifacts.documents import Document
from flowyml_aws.runtime.usage import JobUsage

__all__ = ["JobTimes", "Wait", "WaitKind", "split_wait", "wait_ends"]


class JobTimes(Document):
    """Times of the latest attempt of a job, as its service reports them.

    All are seconds since the epoch; None if they are unknown, or have not come yet.

    Attributes:
        queued_at: Time from which the service has the attempt. AWS Batch has a job before its
            parents end.
        launched_at: Time from which the service starts an instance; SageMaker only.
        pull_started_at, pull_ended_at: Download of the image or the data; SageMaker only. Jobs of
            AWS Batch report the pull in their `JobUsage`.
        started_at: Start of the container, or of the process on this machine.
        ended_at: End of the container.
    """

    queued_at: float | None = None
    launched_at: float | None = None
    pull_started_at: float | None = None
    pull_ended_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None


class WaitKind(str, Enum):
    """A part of the time before a job runs; the value is its name for people."""

    QUEUE = "queue"
    QUEUE_WITH_START = "queue, with start"
    START = "start"
    START_WITH_PULL = "start, with pull"
    PULL = "pull"


@dataclass(frozen=True, slots=True)
class Wait:
    """A part of the time before a job runs.

    Attributes:
        started_at, ended_at: Times in seconds since the epoch.
    """

    kind: WaitKind
    started_at: float
    ended_at: float


def split_wait(
    times: JobTimes, usage: JobUsage | None, ready_at: float, started_at: float
) -> tuple[Wait, ...]:
    """Return the known parts of a job's wait for its machine, in order.

    An instance has started for the job if its operating system started during the wait. Otherwise,
    the instance was there, and the wait until the pull is the queue.

    Args:
        times: Times that the service reports.
        usage: Document of the attempt, if there is one.
        ready_at: End of the job's last parent, or the start of the run.
        started_at: Start of the runner, for services that report no start of the container.
    """
    begin = max(ready_at, times.queued_at or ready_at)
    end = times.started_at or started_at
    return _consecutive(wait_ends(times, usage, begin, end), begin, end)


def wait_ends(
    times: JobTimes, usage: JobUsage | None, begin: float, end: float
) -> list[tuple[WaitKind, float]]:
    """Return the known parts of a wait with the end of each, by the clock that reports it.

    Args:
        times: Times that the service reports.
        usage: Document of the attempt, if there is one.
        begin: Start of the wait.
        end: End of the wait.
    """
    pull = times.pull_started_at, times.pull_ended_at
    if usage is not None and None in pull:
        pull = usage.pull_started_at, usage.pull_ended_at
    pull_started, pull_ended = pull
    has_pull = pull_started is not None and pull_ended is not None
    launched = times.launched_at
    booted = usage.machine_started_at if usage is not None else None
    if launched is None and booted is not None and booted > begin:
        launched = booted
    parts: list[tuple[WaitKind, float]] = []
    if launched is not None:
        parts.append((WaitKind.QUEUE, launched))
    if has_pull and pull_started is not None and pull_ended is not None:
        before = WaitKind.QUEUE if launched is None else WaitKind.START
        parts += [(before, pull_started), (WaitKind.PULL, pull_ended), (WaitKind.START, end)]
    else:
        unknown = WaitKind.QUEUE_WITH_START if launched is None else WaitKind.START_WITH_PULL
        parts.append((unknown, end))
    return parts


def _consecutive(parts: list[tuple[WaitKind, float]], begin: float, end: float) -> tuple[Wait, ...]:
    """Return the parts that take time: the clocks of a service and a machine may differ."""
    waits = []
    for kind, until in parts:
        until = min(max(until, begin), end)
        if until > begin:
            waits.append(Wait(kind, begin, until))
            begin = until
    return tuple(waits)
