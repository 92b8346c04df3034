"""Context values from the command line and from a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flowyml_aws.core.context import ContextEntry, ContextText, WrittenValue
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.written import parse_json, parse_toml

__all__ = ["context_values"]

_READERS: Mapping[str, Callable[[str], Any]] = {".json": parse_json, ".toml": parse_toml}


def context_values(pairs: Sequence[str], file: Path | None) -> dict[str, WrittenValue]:
    """Return the values of `NAME=VALUE` pairs, and of a file for the other names.

    Raises:
        SettingsError: A pair is malformed, or the file can't be read.
    """
    values: dict[str, WrittenValue] = {}
    if file is not None:
        values.update((name, ContextEntry(value)) for name, value in _read(file).items())
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.rpartition("/")[2].isidentifier():
            raise SettingsError(
                what=f"Invalid --context {pair!r}: expected NAME=VALUE",
                why="NAME is the name of a step's parameter, or SUB-PIPELINE/PARAMETER",
                fix="write for example --context epochs=10",
            )
        values[name] = ContextText(text)
    return values


def _read(file: Path) -> Mapping[str, Any]:
    read = _READERS.get(file.suffix)
    if read is None:
        raise SettingsError(
            what=f"Unsupported format of --context-file {file}",
            why=f"the suffix of the file selects the format: {', '.join(_READERS)}",
            fix="write the values as JSON or TOML",
        )
    try:
        values = read(file.read_text("utf-8"))
        if not isinstance(values, dict):
            raise ValueError("expected a mapping of parameter names to values")
    except (OSError, ValueError) as error:
        raise SettingsError(
            what=f"Can't read --context-file {file}",
            why=str(error),
            fix='correct it; a JSON file contains, for example, {"epochs": 10}',
        ) from error
    return values
