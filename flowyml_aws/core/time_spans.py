"""Lengths of time as strings, such as `30m`."""

from __future__ import annotations

import math
import re

__all__ = ["TIME_UNITS", "TimeSpan", "seconds_of"]

TimeSpan = str | float
"""A length of time: a number of seconds, or a number with a unit such as `"30m"`."""

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
TIME_UNITS = "s, m, h, d and w"
"""Units of lengths of time, for messages."""


def seconds_of(value: object) -> float | None:
    """Return a length of time in seconds; None if it is neither a number nor such a string."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if 0 < value < math.inf else None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", value) if isinstance(value, str) else None
    return None if match is None else float(match[1]) * _UNITS_S[match[2]]
