"""Ages on the command line."""

from __future__ import annotations

import re

from flowyml_aws.core.errors import SettingsError

__all__ = ["age_s"]

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def age_s(text: str, option: str) -> float:
    """Return an age such as `30d` in seconds.

    Raises:
        SettingsError: It is not a number with a unit.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text)
    if match is None:
        raise SettingsError(
            what=f"Invalid {option} {text!r}: expected a number with a unit, such as 30d",
            why="the units are s, m, h, d and w",
            fix=f"write for example {option} 30d",
        )
    return float(match[1]) * _UNITS_S[match[2]]
