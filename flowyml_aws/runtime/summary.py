"""The summary of a job's result, which a listing of the store shows.

A listing returns the keys of 1,000 objects, but not their contents. So a job that has committed
its result also creates an empty object whose key contains the summary: compressed JSON in base64.
The result is the truth; the summary only saves requests to look at runs of many jobs.

The number after the attempt is the format: 1, or 2 if the items of a map had to be shortened to
columns (`summary_columns`). A client that can't read a format reads the result.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import Field, ValidationError

from flowyml_aws.artifacts.documents import Document
from flowyml_aws.runtime.peaks import StepPeaks
from flowyml_aws.runtime.result import (
    ExpandedOutputs,
    JobResult,
    StepFailure,
    StepReport,
    expanded_steps,
    failure_reason,
)
from flowyml_aws.runtime.summary_columns import from_columns, to_columns

__all__ = ["JobSummary"]

# Amazon S3 User Guide, "Naming Amazon S3 objects": a key has at most 1,024 bytes. The rest is for
# the prefix of the store, the run and the job.
_MAX_NAME = 700
_PART = 200  # file systems accept 255 bytes between slashes
_TEXT = 200  # characters of a message
_NAME = re.compile(
    r"(?P<state>succeeded|failed)\.(?P<attempt>\d+)\.(?P<format>[12])/(?P<data>[A-Za-z0-9_/-]+)"
)
# Strings that most summaries contain. A change of them changes the format, whose number is 1.
_DICTIONARY = (
    b'"failure":{"kind":"ValueError","message":"ml.m5.large"reason":"its step was skipped'
    b'"state":"cached""state":"skipped""state":"waiting","retries":1,"skipped":{"changed":{'
    b'"instance_type":"m6i.xlarge","asset_bytes":{"attempt":2,"state":"failed""attempt":1,'
    b'"state":"succeeded","started_at":17,"ended_at":17"steps":[{"name":"'
)


class JobSummary(Document):
    """The facts of a job's result, except the refs of its values.

    Attributes:
        asset_bytes: Size of each stored value.
        skipped: Assets that do not exist because their step was skipped, with the cause.
        failure: Failure that no step caused.
        changed: Digests of values of the program that are different in the job from those of the
            client, by name.
        instance_type: Type of the machine that ran the job; None if unknown.
        peaks: Highest use of the machine by each step that was measured.
    """

    attempt: int
    state: Literal["succeeded", "failed"]
    started_at: float
    ended_at: float
    steps: tuple[StepReport, ...]
    asset_bytes: dict[str, int] = Field(default_factory=dict)
    skipped: dict[str, str] = Field(default_factory=dict)
    failure: StepFailure | None = None
    changed: dict[str, str] = Field(default_factory=dict)
    instance_type: str | None = None
    peaks: dict[str, StepPeaks] = Field(default_factory=dict)

    @classmethod
    def of(cls, result: JobResult) -> JobSummary:
        """Return the summary of a result, with its tracebacks, and times in milliseconds."""
        return cls(
            attempt=result.attempt,
            state=result.state,
            started_at=round(result.started_at, 3),
            ended_at=round(result.ended_at, 3),
            steps=tuple(map(_rounded, result.steps)),
            asset_bytes={asset: ref.size_bytes for asset, ref in result.assets.items()},
            skipped=result.skipped,
            failure=result.failure,
            changed=result.changed,
            instance_type=result.instance_type,
            peaks=result.peaks,
        )

    def with_outputs(self, outputs: ExpandedOutputs) -> JobSummary:
        """Return the summary with the outputs of the pipeline of its dynamic step."""
        sizes = {asset: ref.size_bytes for asset, ref in outputs.assets.items()}
        return self.model_copy(
            update={
                "steps": expanded_steps(self.steps, outputs),
                "asset_bytes": {**self.asset_bytes, **sizes},
                "skipped": {**self.skipped, **outputs.skipped},
            }
        )

    @property
    def reason(self) -> str | None:
        """Reason of the failure in one line; None if the job succeeded."""
        return failure_reason(self.failure, self.steps)

    def to_name(self) -> str | None:
        """Return the summary as the end of a key; None if it is too long for one.

        Long messages are cut off, and tracebacks are left out. If it is too long, the peaks are
        left out, too, and the times of many items are rounded to a tenth of a second.
        """
        for format_number, data in self._shortened()._forms():
            compressor = zlib.compressobj(level=9, wbits=-15, zdict=_DICTIONARY)
            packed = compressor.compress(data) + compressor.flush()
            text = base64.urlsafe_b64encode(packed).decode().rstrip("=")
            if len(text) <= _MAX_NAME:
                parts = (text[start : start + _PART] for start in range(0, len(text), _PART))
                return f"{self.state}.{self.attempt}.{format_number}/{'/'.join(parts)}"
        return None

    def _forms(self) -> Iterator[tuple[int, bytes]]:
        """Yield the number of a format and the JSON, the exact one first."""
        yield 1, self.model_dump_json(exclude_defaults=True).encode()
        data = self.model_dump_json(exclude_defaults=True, exclude={"peaks"}).encode()
        yield 1, data
        for step_ms in _PRECISIONS_MS:
            columns = to_columns(json.loads(data), step_ms)
            yield 2, json.dumps(columns, separators=(",", ":"), ensure_ascii=False).encode()

    @classmethod
    def from_name(cls, name: str) -> JobSummary | None:
        """Return the summary in the end of a key; None if this version can't read it."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        text = match["data"].replace("/", "")
        try:
            packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            decompressor = zlib.decompressobj(wbits=-15, zdict=_DICTIONARY)
            data = decompressor.decompress(packed, _MAX_JSON)
            if match["format"] == "2":
                summary = cls.model_validate(from_columns(json.loads(data)))
            else:
                summary = cls.model_validate_json(data)
        except (ValueError, zlib.error, ValidationError):
            return None
        is_same = (summary.state, str(summary.attempt)) == (match["state"], match["attempt"])
        return summary if is_same else None

    def _shortened(self) -> JobSummary:
        return self.model_copy(
            update={
                "steps": tuple(map(_short_report, self.steps)),
                "skipped": _short_texts(self.skipped),
                "failure": _short_failure(self.failure),
            }
        )


_PRECISIONS_MS = (1, 100)
_MAX_JSON = 64 * 1024  # a key of 1,024 bytes could expand to more than is useful


def _rounded(report: StepReport) -> StepReport:
    times = {"started_at": report.started_at, "ended_at": report.ended_at}
    return report.model_copy(
        update={name: None if time is None else round(time, 3) for name, time in times.items()}
    )


def _short_report(report: StepReport) -> StepReport:
    return report.model_copy(
        update={
            "reason": None if report.reason is None else report.reason[:_TEXT],
            "failure": _short_failure(report.failure),
        }
    )


def _short_failure(failure: StepFailure | None) -> StepFailure | None:
    if failure is None:
        return None
    message = failure.message[:_TEXT]
    return StepFailure(kind=failure.kind, message=message, cause=failure.cause)


def _short_texts(texts: Mapping[str, str]) -> dict[str, str]:
    return {name: text[:_TEXT] for name, text in texts.items()}
