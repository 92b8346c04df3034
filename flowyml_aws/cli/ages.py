"""Ages on the command line."""

from __future__ import annotations

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.time_spans import TIME_UNITS, seconds_of

__all__ = ["age_s"]


def age_s(text: str, option: str) -> float:
    """Return an age such as `30d` in seconds.

    Raises:
        SettingsError: It is not a number with a unit.
    """
    age = seconds_of(text)
    if age is None:
        raise SettingsError(
            what=f"Invalid {option} {text!r}: expected a number with a unit, such as 30d",
            why=f"the units are {TIME_UNITS}",
            fix=f"write for example {option} 30d",
        )
    return age
