"""Suggestions for misspelled names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["did_you_mean", "nearest"]

_MAX_NEAR = 3


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """Return "did you mean ...?" with the most similar known name, or `otherwise`."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else otherwise


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """Return the most similar known names, at most three, most similar first."""
    return difflib.get_close_matches(name, list(known), n=_MAX_NEAR)
