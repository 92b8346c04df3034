"""What a job tells: how each step went while it runs, and the result that commits it."""

from __future__ import annotations

from enum import Enum
from typing import Literal

from flowyml_aws.artifacts.documents import Document, read_document
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.errors import ArtifactNotFoundError

__all__ = [
    "AttemptEvents",
    "JobResult",
    "StepFailure",
    "StepReport",
    "StepState",
    "read_result",
]


class StepState(str, Enum):
    """How far a step is."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CACHED = "cached"


class StepFailure(Document):
    """Why a step failed.

    Attributes:
        kind: Class of the exception.
        message: Its text.
        traceback: The user's frames, as Python prints them, with paths relative to the project.
    """

    kind: str
    message: str
    traceback: str


class StepReport(Document):
    """How one step went.

    Attributes:
        retries: Repetitions that were made.
        started_at, ended_at: Seconds since the epoch, or None.
        reason: Why it was skipped.
        failure: Of the last attempt.
    """

    name: str
    state: StepState = StepState.WAITING
    retries: int = 0
    started_at: float | None = None
    ended_at: float | None = None
    reason: str | None = None
    failure: StepFailure | None = None

    @property
    def duration_s(self) -> float:
        """Seconds it ran, retries included; 0 before it ended."""
        if self.started_at is None or self.ended_at is None:
            return 0.0
        return self.ended_at - self.started_at


class AttemptEvents(Document):
    """How far an attempt is; rewritten by its one writer, the runner.

    Attributes:
        assets: What it has stored, or found stored.
    """

    version: Literal[1] = 1
    attempt: int
    steps: tuple[StepReport, ...]
    assets: dict[str, ArtifactRef]


class JobResult(Document):
    """The commit of a job: written once, last, conditionally.

    Attributes:
        state: `succeeded` or `failed`; a job whose steps were all skipped succeeded.
        assets: Stored values.
        skipped: Assets that do not exist because their step was skipped.
        failure: Why the job failed where it was not a step's fault, such as a damaged input.
    """

    version: Literal[1] = 1
    run_id: str
    job: str
    attempt: int
    state: Literal["succeeded", "failed"]
    started_at: float
    ended_at: float
    steps: tuple[StepReport, ...]
    assets: dict[str, ArtifactRef]
    skipped: tuple[str, ...]
    failure: StepFailure | None = None

    @property
    def reason(self) -> str | None:
        """Why it failed, in a line; None if it did not."""
        if self.failure is not None:
            return f"{self.failure.kind}: {self.failure.message}"
        for report in self.steps:
            if (failure := report.failure) is not None:
                return f"step {report.name!r}: {failure.kind}: {failure.message}"
        return None


def read_result(store: ArtifactStore, run_id: str, job: str) -> JobResult | None:
    """What a job committed, or None while it has not."""
    key = RunLayout(run_id).result(job)
    try:
        return read_document(JobResult, store.get(key), f"{store.uri}/{key}")
    except ArtifactNotFoundError:
        return None
