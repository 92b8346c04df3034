"""Tests of FlowyML that can't pass through this package's orchestrator, and their reasons."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

__all__ = ["cannot_pass"]

_LIST = Path(__file__).with_name("cannot_pass.txt")


def cannot_pass() -> Mapping[str, str]:
    """Return the reason for each test: `FILE::CLASS::TEST`.

    The list has a line `# REASON`, then its tests, one a line.
    """
    reasons: dict[str, str] = {}
    reason = ""
    for line in filter(None, map(str.strip, _LIST.read_text("utf-8").splitlines())):
        if line.startswith("#"):
            reason = line.lstrip("# ")
        else:
            reasons[line] = reason
    return reasons
