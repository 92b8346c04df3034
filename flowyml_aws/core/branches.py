"""Branches: steps that run only if a decision of the run chooses their case."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Branch"]


@dataclass(frozen=True, slots=True)
class Branch:
    """The case of a decision in which a step runs.

    Attributes:
        decision: Step that decides. Its asset has the same name, and is the name of a case.
        case: Name of the case.
    """

    decision: str
    case: str
