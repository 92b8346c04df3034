"""Somewhere jobs run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, runtime_checkable

from flowyml_aws.core.findings import Finding
from flowyml_aws.planning.plan import PlannedJob
from flowyml_aws.submission.record import Bill

__all__ = ["Backend", "Bills", "Diagnoses", "JobState", "JobStatus", "LogLine"]


class JobState(str, Enum):
    """How far a job is, on every backend."""

    WAITING = "waiting"
    """For jobs before it."""
    QUEUED = "queued"
    """For a machine."""
    STARTING = "starting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    BLOCKED = "blocked"
    """Never ran, because a job before it failed."""
    LOST = "lost"
    """Its process is gone without a word; it can be started again."""

    @property
    def ended(self) -> bool:
        return self in _ENDED


_ENDED = {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.BLOCKED}


@dataclass(frozen=True, slots=True)
class JobStatus:
    """What a backend says of a job. A hint: only result.json proves that a job ended well.

    Attributes:
        attempt: The current or last one, from 1; 0 before the first.
        reason: In the backend's words, or None.
    """

    state: JobState
    attempt: int = 0
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that a job printed; `time_ms` since the epoch, where the backend knows it."""

    job: str
    message: str
    time_ms: int | None = None


class Backend(Protocol):
    """The jobs of one run at one place. Everything it must remember is in the run's store."""

    def submit(self, jobs: Sequence[PlannedJob], succeeded: Collection[str]) -> None:
        """Take over those of these jobs that can be taken now; the rest is offered again.

        Taking a job twice must not run it twice.

        Args:
            jobs: In plan order.
            succeeded: Jobs whose result is there.
        """

    def statuses(self) -> Mapping[str, JobStatus]:
        """The jobs that were taken over, by name, and those that could not be yet, as LOST.

        Raises:
            FlowymlError: The backend can't tell; never read that as "still running".
        """

    def logs(self, job: str, cursor: str | None) -> tuple[list[LogLine], str | None]:
        """Lines after a cursor, and the next cursor.

        None stands for the start of the newest attempt. A cursor goes on into later attempts.
        """

    def cancel(self, jobs: Sequence[PlannedJob]) -> None:
        """End jobs, running or not."""

    def release(self) -> None:
        """The client leaves: end what can't go on without it, so that it can be started again."""

    def pause(self) -> None:
        """Wait until there may be news."""


@runtime_checkable
class Bills(Protocol):
    """A backend whose jobs are billed one by one."""

    def bills(self) -> Mapping[str, Bill]:
        """What each job that has ended is billed for, by name, as far as that is told."""


@runtime_checkable
class Diagnoses(Protocol):
    """A backend whose jobs wait for machines, and that can tell why."""

    def diagnose(self) -> Mapping[str, Sequence[Finding]]:
        """What keeps each job that is queued from starting, by name, as one look tells.

        A job that waits for what takes its time anyway has none.
        """
