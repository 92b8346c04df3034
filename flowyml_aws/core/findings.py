"""Findings of checks: like errors, but also for what is in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "Level"]

Level = Literal["ok", "note", "warning", "error", "not checked"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a check.

    Attributes:
        code: Stable identifier of the kind of finding, such as `queue-disabled`.
        level: `error` prevents jobs from running, `warning` may prevent it, `note` is information.
        what: The checked object and its state.
        why: The cause or the consequence; empty if all is in order.
        fix: The recommended action, or empty.
    """

    code: str
    level: Level
    what: str
    why: str = ""
    fix: str = ""

    def __str__(self) -> str:
        why = f"\n  why: {self.why}" if self.why else ""
        fix = f"\n  fix: {self.fix}" if self.fix else ""
        return f"{self.what}{why}{fix}"
