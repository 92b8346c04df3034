"""The result of a proof as a document, without names that identify the account."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal

from flowyml_aws.artifacts.documents import Document

__all__ = ["Proof", "Row", "Verdict", "redacted"]

Verdict = Literal["agreed", "deviated", "not checked"]

_PATTERN_OF_ANY_ACCOUNT = "*"
_ARN = re.compile(r"arn:[a-z-]+:[^\s'\",;)]+")


class Row(Document):
    """One check of a part.

    Attributes:
        expected: Statement of the plan or the emulator.
        observed: Observation on the account; empty if it was not checked.
        reason: Reason why it was not checked, or the meaning of a deviation.
    """

    part: str
    check: str
    verdict: Verdict
    expected: str = ""
    observed: str = ""
    reason: str = ""


class Proof(Document):
    """All checks of a proof.

    Attributes:
        package: Version of flowyml-aws.
        python: Version of Python of the client.
        proven_at: Time in UTC (ISO 8601).
        is_emulated: Whether the account was emulated.
        highest_usd: Highest price of the jobs, as shown before they started.
    """

    version: Literal[1] = 1
    package: str
    python: str
    region: str
    proven_at: str
    is_emulated: bool
    gpu: str | None
    highest_usd: float
    rows: tuple[Row, ...]

    def rows_with(self, verdict: Verdict) -> list[Row]:
        """Return the rows with a verdict."""
        return [row for row in self.rows if row.verdict == verdict]


def redacted(row: Row, names: Collection[str]) -> Row:
    """Return a row without ARNs and without some names.

    Args:
        row: A row with messages of AWS.
        names: Account id, bucket and other names that identify the account.
    """

    def redact(text: str) -> str:
        text = _ARN.sub(_redacted_arn, text)
        for name in sorted(filter(None, names), key=len, reverse=True):
            text = text.replace(name, "<redacted>")
        return text

    texts = {name: redact(getattr(row, name)) for name in ("expected", "observed", "reason")}
    return row.model_copy(update=texts)


def _redacted_arn(match: re.Match[str]) -> str:
    """Return a replacement for an ARN, except for a pattern that names no account."""
    parts = match[0].split(":")
    is_pattern = len(parts) > 4 and parts[4] == _PATTERN_OF_ANY_ACCOUNT
    return match[0] if is_pattern else "<arn>"
