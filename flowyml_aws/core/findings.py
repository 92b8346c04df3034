"""What a look at something found: as errors are told, and also where nothing is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "Level"]

Level = Literal["ok", "note", "warning", "error", "not checked"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    Attributes:
        code: What kind of finding it is, the same in every version: `queue-disabled`.
        level: `error` keeps jobs from running, `warning` may, `note` is good to know.
        what: Of which thing, and how it is.
        why: Why that matters, or how it came about; empty where all is well.
        fix: What to do about it, or empty.
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
