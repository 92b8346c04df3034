"""Tags that say which run a job belongs to."""

from __future__ import annotations

from flowyml_aws.submission.record import RunRecord

__all__ = ["run_tags"]

_TAG_LENGTH = 256


def run_tags(record: RunRecord, job: str) -> dict[str, str]:
    """The tags of a job of a run."""
    return {
        "flowyml-aws:run": record.run_id,
        "flowyml-aws:pipeline": _tag(record.pipeline),
        "flowyml-aws:job": _tag(job),
    }


def _tag(text: str) -> str:
    """Text with what tags cannot hold replaced."""
    return "".join(c if c.isalnum() or c in "+-=._:/@ " else "-" for c in text)[:_TAG_LENGTH]
