"""Reading of JSON and TOML that people write, with one kind of error."""

from __future__ import annotations

import json
import sys
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["parse_json", "parse_toml", "shortened"]

_MAX_CHARACTERS = 200


def parse_json(text: str) -> Any:
    """Return the value of JSON.

    Raises:
        ValueError: It is not valid, is nested too deeply, or has a number with too many digits.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def parse_toml(text: str) -> dict[str, Any]:
    """Return the table of a TOML document.

    Raises:
        ValueError: It is not valid, is nested too deeply, or has a number with too many digits.
    """
    try:
        table: dict[str, Any] = tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return table


def shortened(value: object) -> str:
    """Return the representation of a value for a message, cut off if it is long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer with too many digits, or deep nesting
        return f"a value of type {type(value).__name__}"
    if len(text) <= _MAX_CHARACTERS:
        return text
    return f"{text[:_MAX_CHARACTERS]}… ({len(text):,} characters)"
