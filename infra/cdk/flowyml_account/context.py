"""The options in the context of a CDK app: `-c name=main -c families='{"cpu": {}}'`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

from flowyml_account.options import Family, Options

__all__ = ["read_options"]

_FILE = "options"
_OPTION = re.compile(r"[a-z][a-z0-9_]*")  # CDK's own names contain `:`, `@`, `/` or `-`
_TYPES: Mapping[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "Sequence": (list,),
    "Mapping": (dict,),
}
_EXPECTED = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "Sequence": "a list in JSON",
    "Mapping": "a mapping in JSON",
}


def read_options(context: Mapping[str, Any]) -> Options:
    """Return the options of an account.

    A value is text or JSON. `-c options=FILE` reads more values from a file in JSON, which values
    with their own `-c` override.

    Args:
        context: Context of the app, with all of its names.

    Raises:
        ValueError: There are mistakes. The message has a line for each.
    """
    problems: list[str] = []
    passed = {name: value for name, value in context.items() if _OPTION.fullmatch(name)}
    values = {**_read_file(passed.pop(_FILE, None), problems), **passed}
    options = _parse(Options, values, "", problems)
    if isinstance(options.get("families"), dict):
        options["families"] = {
            name: _make(Family, family, f"families[{name!r}].", problems)
            for name, family in options["families"].items()
        }
    problems += _problems_of(options)
    if problems:
        raise ValueError("\n".join(problems))
    return Options(**options)


def _read_file(path: str | None, problems: list[str]) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        values = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        problems.append(f"Can't read the options in {path}: {error}")
        return {}
    if not isinstance(values, dict):
        problems.append(f"Can't read the options in {path}: expected a mapping")
        return {}
    return values


def _make(kind: type, values: Any, prefix: str, problems: list[str]) -> Any:
    if not isinstance(values, dict):
        problems.append(f"Invalid {prefix.rstrip('.')}: expected a mapping of its options")
        return kind()
    return kind(**_parse(kind, values, prefix, problems))


def _parse(
    kind: type, values: Mapping[str, Any], prefix: str, problems: list[str]
) -> dict[str, Any]:
    """Return the valid values of the options of `kind`, and add the others to the problems."""
    known = {field.name: field for field in fields(kind)}
    parsed = {}
    for name, value in values.items():
        if name not in known:
            problems.append(f"Unknown option {prefix}{name}; known options: {', '.join(known)}")
            continue
        try:
            parsed[name] = _value(known[name], value)
        except ValueError as error:
            problems.append(f"Invalid {prefix}{name}: {error}")
    return parsed


def _value(field: Field[Any], value: Any) -> Any:
    # Annotations are strings: `int | None`, `Sequence[str]`.
    kind, _, rest = str(field.type).partition("[")
    kind, is_optional = kind.removesuffix(" | None"), "| None" in field.type
    if isinstance(value, str) and kind != "str":
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError(f"{value!r} is not {_EXPECTED[kind]}") from None
    if value is None or (kind == "str" and value == "null"):
        if not is_optional:
            return _default(field)
        return None
    if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "bool"):
        raise ValueError(f"{value!r} is not {_EXPECTED[kind]}")
    if rest:
        _check_items(rest.removesuffix(" | None").removesuffix("]"), value)
    return value


def _check_items(kind: str, value: Any) -> None:
    """Check the items of a list, or the values of a mapping."""
    item = kind.rpartition(", ")[2]
    if item in _TYPES:
        for entry in value.values() if isinstance(value, dict) else value:
            if not isinstance(entry, _TYPES[item]) or isinstance(entry, bool):
                raise ValueError(f"{entry!r} is not {_EXPECTED[item]}")


def _default(field: Field[Any]) -> Any:
    if field.default is not MISSING:
        return field.default
    assert field.default_factory is not MISSING
    return field.default_factory()


def _problems_of(options: Mapping[str, Any]) -> list[str]:
    try:
        Options(**options)
    except ValueError as error:
        return str(error).splitlines()
    return []
