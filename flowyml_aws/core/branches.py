"""Branches: steps that run only if a decision of the run chooses their case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ELSE", "NO_CASE", "THEN", "Branch", "Cases", "then_or_else"]

THEN, ELSE = "then", "else"
"""Cases of an `If`."""

NO_CASE = "(none)"
"""Case of a `Switch` without a default whose selector returned another value."""


@dataclass(frozen=True, slots=True)
class Branch:
    """The case of a decision in which a step runs.

    Attributes:
        decision: Step that decides. Its asset has the same name, and is the name of a case.
        case: Name of the case.
    """

    decision: str
    case: str

    def cause_of_skip(self, case: str | None) -> str | None:
        """Return why the step is skipped if the decision has chosen a case; None if it runs."""
        if case == self.case:
            return None
        return f"{self.decision!r} chose {case!r}, not {self.case!r}"


def then_or_else(returned: Any) -> str:
    """Return the case of an `If` for the value that its condition returned."""
    return THEN if returned else ELSE


@dataclass(frozen=True, slots=True)
class Cases:
    """The cases of a `Switch` by the value that its selector returns.

    Attributes:
        names: Name of the case for each value. Equal values, such as `1` and `True`, are one key.
        default: Name of the case for any other value.
    """

    names: Mapping[Any, str] = field(default_factory=dict)
    default: str = NO_CASE

    def __call__(self, returned: Any) -> str:
        """Return the case for the value that a selector returned."""
        try:
            return self.names.get(returned, self.default)
        except TypeError:  # the value is not hashable, so that it equals no key
            return self.default
