"""Tags of jobs: those that identify the run, and the limits of AWS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flowyml_aws.submission.record import RunRecord

__all__ = ["run_tags", "tag_faults"]

_MAX_TAGS = 50
_KEY_LENGTH = 128
_VALUE_LENGTH = 256


def run_tags(record: RunRecord, job: str) -> dict[str, str]:
    """Return the tags of a job: its run, pipeline and name."""
    return {
        "flowyml-aws:run": record.run_id,
        "flowyml-aws:pipeline": _value(record.pipeline),
        "flowyml-aws:job": _value(job),
    }


def tag_faults(tags: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield a reason and a fix for each reason for which AWS would refuse the tags of a job.

    Source: "Tag your AWS resources", Tagging AWS Resources User Guide.

    Args:
        tags: All tags that the job would have.
    """
    if len(tags) > _MAX_TAGS:
        yield (
            f"a job can have at most {_MAX_TAGS} tags, not {len(tags)} (flowyml-aws sets some "
            "itself)",
            "remove some of the setting `tags`",
        )
    for key, value in tags.items():
        if (
            not 1 <= len(key) <= _KEY_LENGTH
            or len(value) > _VALUE_LENGTH
            or key.lower().startswith("aws:")
            or not all(c.isalnum() or c in "_.:/=+-@ " for c in key + value)
        ):
            yield (
                f"tag {key!r} = {value!r} is invalid: keys have up to {_KEY_LENGTH} and values up "
                f"to {_VALUE_LENGTH} letters, digits, spaces and _.:/=+-@, and keys do not begin "
                "with aws:",
                "correct the setting `tags`",
            )


def _value(text: str) -> str:
    """Replace the characters that tag values can't contain, and shorten to the limit."""
    allowed = (c if c.isalnum() or c in "+-=._:/@ " else "-" for c in text)
    return "".join(allowed)[:_VALUE_LENGTH]
