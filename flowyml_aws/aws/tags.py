"""Tags that identify the run of a job."""

from __future__ import annotations

from flowyml_aws.submission.record import RunRecord

__all__ = ["run_tags"]

_TAG_LENGTH = 256


def run_tags(record: RunRecord, job: str) -> dict[str, str]:
    """Return the tags of a job: its run, pipeline and name."""
    return {
        "flowyml-aws:run": record.run_id,
        "flowyml-aws:pipeline": _tag(record.pipeline),
        "flowyml-aws:job": _tag(job),
    }


def _tag(value: str) -> str:
    """Replace the characters that tag values can't contain, and shorten to the limit."""
    return "".join(c if c.isalnum() or c in "+-=._:/@ " else "-" for c in value)[:_TAG_LENGTH]
