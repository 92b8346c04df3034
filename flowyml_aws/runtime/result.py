"""Reports of a job: the states of its steps while it runs, and the result that commits it."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from enum import Enum
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, field_validator

from flowyml_aws.artifacts.documents import Document, read_document
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.errors import ArtifactNotFoundError
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.runtime.peaks import StepPeaks

__all__ = [
    "NO_ATTEMPT",
    "AttemptEvents",
    "ExpandedOutputs",
    "GpuIdle",
    "JobResult",
    "StepFailure",
    "StepReport",
    "StepState",
    "cases_of",
    "expanded_steps",
    "expanding_step",
    "failure_reason",
    "read_outputs",
    "read_result",
]

NO_ATTEMPT = 0
"""Number of the attempt in the result of a job that a client has skipped: no attempt ran."""

Base64 = Annotated[
    bytes,
    BeforeValidator(lambda data: base64.b64decode(data) if isinstance(data, str) else data),
    PlainSerializer(lambda data: base64.b64encode(data).decode(), when_used="json"),
]
"""Bytes that are base64 in JSON."""


class StepState(str, Enum):
    """State of a step within an attempt. A runner reports all but the last two."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CACHED = "cached"
    CANCELLED = "cancelled"
    NOT_RUN = "not run"
    """Its job has ended before the step could start, or before its outputs were stored."""


class StepFailure(Document):
    """The exception that failed a step or a job.

    Attributes:
        kind: Class name of the exception.
        message: Message of the exception.
        traceback: The user's frames, as Python prints them, with paths relative to the project.
            None if the process ended without reporting an exception.
        cause: Cause of the failure.
    """

    kind: str
    message: str
    traceback: str | None = None
    cause: Cause = Cause.STEP

    @property
    def text(self) -> str:
        """The traceback, or the message if there is none."""
        return self.traceback or f"{self.message}\n"


class GpuIdle(Document):
    """A time in which a step used none of the GPUs of its job.

    Attributes:
        since: Start, in seconds since the epoch.
        until: End; None while it continues.
    """

    since: float
    until: float | None = None

    def seconds(self, now: float) -> float:
        """Return its length, until now if it continues."""
        return max(0.0, (now if self.until is None else self.until) - self.since)


class StepReport(Document):
    """State and outcome of one step.

    Attributes:
        retries: Number of retries so far.
        started_at, ended_at: Times in seconds since the epoch, or None.
        reason: Explanation of the state, for example of a skip.
        failure: Failure of the last attempt.
        produced_in: Run that produced the outputs of a cached step, or None.
        gpu_idle: Longest time without use of the GPUs, from ten minutes on; None if there is none.
        case: Case that the step has chosen, if it is a decision.
        expansion: Digest of the document with the pipeline that a dynamic step has returned.
        expanded_in: Run of this pipeline, once it has succeeded.
    """

    name: str
    state: StepState = StepState.WAITING
    retries: int = 0
    started_at: float | None = None
    ended_at: float | None = None
    reason: str | None = None
    failure: StepFailure | None = None
    produced_in: str | None = None
    gpu_idle: GpuIdle | None = None
    case: str | None = None
    expansion: str | None = None
    expanded_in: str | None = None

    @property
    def duration_s(self) -> float:
        """Seconds that the step ran, including retries; 0 until it ends."""
        if self.started_at is None or self.ended_at is None:
            return 0.0
        return self.ended_at - self.started_at


class AttemptEvents(Document):
    """Progress of an attempt, written only by its runner.

    Attributes:
        assets: Refs of the values that the attempt stored or reused.
        instance_type: Type of the machine; None if unknown.
        repetition: Number of the repetition of the job; 0 for the first execution.
    """

    version: Literal[1] = 1
    attempt: int
    steps: tuple[StepReport, ...]
    assets: dict[str, ArtifactRef]
    instance_type: str | None = None
    repetition: int = 0


class JobResult(Document):
    """The commit of a job: written once, last, conditionally.

    Attributes:
        attempt: Number of the attempt that committed it, or `NO_ATTEMPT`.
        state: `succeeded` or `failed`; a job whose steps were all skipped succeeded.
        assets: Refs of the stored values.
        skipped: Assets that do not exist because their step was skipped, with the cause.
        dropped: Assets that do not exist because an item of a map failed, with the cause.
        partial: Assets that were made from lists without dropped items.
        failure: Failure that no step caused, such as a damaged input.
        changed: Digests of values of the program that are different in the job from those of the
            client, such as the device of `torch`, by name.
        instance_type: Type of the machine that ran the job; None if unknown.
        peaks: Highest use of the machine by each step that this attempt measured.
        damaged: Assets whose missing or damaged values have failed the job, with the number of the
            repetition that produced each.
        contents: Bytes of small values of `assets` by their digest, so that a reader of the result
            need not read them. They are stored like the others.
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
    skipped: dict[str, str]
    dropped: dict[str, str] = Field(default_factory=dict)
    partial: tuple[str, ...] = ()
    failure: StepFailure | None = None
    changed: dict[str, str] = Field(default_factory=dict)
    instance_type: str | None = None
    peaks: dict[str, StepPeaks] = Field(default_factory=dict)
    damaged: dict[str, int] = Field(default_factory=dict)
    contents: dict[str, Base64] = Field(default_factory=dict)

    @field_validator("skipped", mode="before")
    @classmethod
    def _read_names_only(cls, skipped: Any) -> Any:
        """Accept the results of earlier versions, which have no causes."""
        return dict.fromkeys(skipped, "its step was skipped") if type(skipped) is list else skipped

    @property
    def reason(self) -> str | None:
        """Reason of the failure in one line; None if the job succeeded."""
        return failure_reason(self.failure, self.steps)

    @property
    def expanding(self) -> StepReport | None:
        """Report of the dynamic step whose pipeline has not succeeded yet; None if none waits."""
        return expanding_step(self.steps)

    def with_outputs(self, outputs: ExpandedOutputs) -> JobResult:
        """Return the result with the outputs of the pipeline that its dynamic step returned."""
        return self.model_copy(
            update={
                "steps": expanded_steps(self.steps, outputs),
                "assets": {**self.assets, **outputs.assets},
                "skipped": {**self.skipped, **outputs.skipped},
            }
        )


class ExpandedOutputs(Document):
    """The outputs of a dynamic step, from the run of its pipeline.

    Attributes:
        run_id: Id of that run.
        assets: Refs of the values, by asset of the dynamic step.
        skipped: Assets that do not exist because the pipeline skipped their step, with the cause.
    """

    version: Literal[1] = 1
    run_id: str
    assets: dict[str, ArtifactRef]
    skipped: dict[str, str] = Field(default_factory=dict)


def expanding_step(steps: Iterable[StepReport]) -> StepReport | None:
    """Return the report of the dynamic step whose pipeline has not succeeded yet, or None."""
    waiting = (each for each in steps if each.expansion is not None and each.expanded_in is None)
    return next(waiting, None)


def expanded_steps(steps: Iterable[StepReport], outputs: ExpandedOutputs) -> tuple[StepReport, ...]:
    """Return reports in which the dynamic step names the run of its pipeline."""
    return tuple(
        report
        if report.expansion is None
        else report.model_copy(
            update={
                "expanded_in": outputs.run_id,
                "reason": f"its pipeline is run {outputs.run_id}",
            }
        )
        for report in steps
    )


def cases_of(steps: Iterable[StepReport]) -> dict[str, str]:
    """Return the case that each decision among some steps has chosen, by its name."""
    return {report.name: report.case for report in steps if report.case is not None}


def failure_reason(failure: StepFailure | None, steps: Iterable[StepReport]) -> str | None:
    """Return the reason of a job's failure in one line, or None if nothing failed.

    Args:
        failure: Failure that no step caused.
        steps: Reports of the job's steps.
    """
    if failure is not None:
        return f"{failure.kind}: {failure.message}"
    for report in steps:
        if (cause := report.failure) is not None:
            return f"step {report.name!r}: {cause.kind}: {cause.message}"
    return None


def read_result(
    store: ArtifactStore, run_id: str, job: str, repetition: int = 0
) -> JobResult | None:
    """Return the result that a repetition of a job committed, or None if there is none yet.

    It has the outputs of the pipeline that its dynamic step returned, once this has succeeded.
    """
    key = RunLayout(run_id).result(job, repetition)
    try:
        result = read_document(JobResult, store.get(key), f"{store.uri}/{key}")
    except ArtifactNotFoundError:
        return None
    if (report := result.expanding) is None:
        return result
    outputs = read_outputs(store, run_id, report.name, repetition)
    return result if outputs is None else result.with_outputs(outputs)


def read_outputs(
    store: ArtifactStore, run_id: str, step: str, repetition: int
) -> ExpandedOutputs | None:
    """Return the outputs of a dynamic step; None until its pipeline has succeeded."""
    key = RunLayout(run_id).expanded(step, repetition)
    try:
        return read_document(ExpandedOutputs, store.get(key), f"{store.uri}/{key}")
    except ArtifactNotFoundError:
        return None
