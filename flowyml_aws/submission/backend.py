"""The interface of backends, and the states of jobs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, runtime_checkable

from flowyml_aws.core.errors import StepUnavailableError
from flowyml_aws.core.findings import Finding
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.submission.bills import JobBills
from flowyml_aws.submission.losses import EndedAttempt
from flowyml_aws.submission.times import JobTimes

__all__ = [
    "Backend",
    "Bills",
    "Diagnoses",
    "JobState",
    "JobStatus",
    "Leftovers",
    "LogLine",
    "Moves",
    "Repeats",
    "Samples",
    "ShellSession",
    "Shells",
    "no_shells",
]


class JobState(str, Enum):
    """State of a job; the same on every backend."""

    WAITING = "waiting"
    """Waits for its parent jobs."""
    QUEUED = "queued"
    """Waits for a machine."""
    STARTING = "starting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    BLOCKED = "blocked"
    """Never ran, because a parent job failed."""
    LOST = "lost"
    """Its process disappeared without reporting; it can be started again."""

    @property
    def ended(self) -> bool:
        return self in _ENDED


_ENDED = {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.BLOCKED}


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job's status as its backend reports it. A hint: only result.json proves success.

    Attributes:
        attempt: Number of the current or last attempt, from 1; 0 before the first.
        reason: Reason of the state in the backend's words, or None.
        cause: Cause of the failure, if the backend knows it. If the plan has another machine for
            it, the job continues there.
        losses: Number of hosts that the job lost on its machine.
        lacks_capacity: Whether the service says that it has no machine of the job's kind.
        lost: Attempts on its machine that were lost.
        last: Last attempt of a failed job if it is not lost, except if the job moves.
        times: Times of its latest attempt, as far as the backend has read them.
    """

    state: JobState
    attempt: int = 0
    reason: str | None = None
    cause: Cause | None = None
    losses: int = 0
    lacks_capacity: bool = False
    lost: tuple[EndedAttempt, ...] = ()
    last: EndedAttempt | None = None
    times: JobTimes = field(default_factory=JobTimes)


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that a job printed; `time_ms` since the epoch, or None if the backend has no time."""

    job: str
    message: str
    time_ms: int | None = None


@dataclass(frozen=True, slots=True)
class ShellSession:
    """A shell that is open in a job.

    Attributes:
        arguments: Program on this machine that connects its terminal to it, with its arguments.
        id: Id of the session at the service; empty without one.
    """

    arguments: tuple[str, ...]
    id: str = ""


class Backend(Protocol):
    """The jobs of one run at one service. All state that it must keep is in the run's store."""

    def submit(self, jobs: Sequence[PlannedJob], succeeded: Collection[str]) -> None:
        """Submit the jobs that can be accepted now; the driver offers the others again.

        Submitting a job twice must not run it twice.

        Args:
            jobs: Jobs in plan order.
            succeeded: Names of the jobs whose result is stored.
        """

    def statuses(self) -> Mapping[str, JobStatus]:
        """Return the status of submitted jobs by name, and LOST for jobs not accepted yet.

        Raises:
            FlowymlError: The statuses are not available; never read that as "still running".
        """

    def logs(self, job: str, cursor: str | None) -> tuple[list[LogLine], str | None]:
        """Return the lines after a cursor, and the next cursor.

        None means the start of the newest attempt. A cursor continues into later attempts.
        Several threads may read the logs of different jobs at once.
        """

    def cancel(self, jobs: Sequence[PlannedJob]) -> Sequence[str]:
        """Cancel jobs, running or not, with every copy of them that exists at the service.

        Return the names, at the service, of the jobs that are still ending.

        Raises:
            FlowymlError: Some jobs could not be ended; the error lists them. The others were.
        """

    def release(self) -> None:
        """Detach the client: stop jobs that need it, in a state in which they can be restarted."""

    def pause(self) -> None:
        """Wait until the next poll."""


@runtime_checkable
class Bills(Protocol):
    """A backend whose service bills each job separately."""

    def bills(self) -> JobBills:
        """Return the bills of the jobs of an ended run, and the jobs whose bills are awaited."""


@runtime_checkable
class Leftovers(Protocol):
    """A backend at whose service an ended run can leave jobs."""

    def end_leftovers(self, finished: Collection[str]) -> Sequence[str]:
        """End the jobs that an ended run has left, and return the names of those still ending.

        Args:
            finished: Names of the jobs that have a result; their processes may still be exiting.

        Raises:
            FlowymlError: Some jobs could not be ended; the error lists them. The others were.
        """


@runtime_checkable
class Samples(Protocol):
    """A backend that can show with few calls that a run has not ended."""

    def is_active(self, jobs: Sequence[PlannedJob]) -> bool:
        """Return True at the first of these jobs that has been submitted and has not ended.

        Raises:
            FlowymlError: The statuses are not available.
        """


@runtime_checkable
class Repeats(Protocol):
    """A backend whose jobs can be submitted again after they have ended."""

    def move(self, plan: ExecutionPlan) -> None:
        """Use a plan in which jobs have moved. They are submitted again, with the jobs after them.

        The earlier submissions of these jobs have ended, or never start.
        """


@runtime_checkable
class Moves(Repeats, Protocol):
    """A backend whose jobs can move to other machines."""

    def withdraw(self, job: str) -> None:
        """End a job that waits for a machine, so that it can move.

        Raises:
            AwsRefusedError: AWS denied the call.
        """


@runtime_checkable
class Diagnoses(Protocol):
    """A backend that can explain why its jobs wait for machines."""

    def diagnose(self) -> Mapping[str, Sequence[Finding]]:
        """Poll once, and return the reasons why queued jobs don't start, by job name.

        A job whose wait is normal has no findings.
        """


@runtime_checkable
class Shells(Protocol):
    """A backend that can open a shell in a running job."""

    def open_shell(self, job: str, node: int, shell: str) -> ShellSession:
        """Open a shell in the container of a job.

        Args:
            job: Name of the job.
            node: Number of the node, from 0.
            shell: Program to start, if the service lets the caller select one.

        Raises:
            StepUnavailableError: The job does not run, or was submitted without a shell.
            AwsRefusedError: AWS denied the call, or can't connect to the container.
        """


def no_shells(job: str, service: str) -> StepUnavailableError:
    """Return the error for a job of a service that opens no shells."""
    return StepUnavailableError(
        what=f"No shell can be opened in job {job!r}",
        why=f"it runs on {service!r}, whose jobs are processes without a terminal",
        fix="replay the step with --pdb, or run a command in a job like it: `flowyml-aws exec`",
    )
