"""Validators of types: pydantic's, but without readings that could silently be wrong.

Differences from pydantic: dataclasses have no additional keys, numbers are not dates, time zones
are those of the standard library (so that equal values have equal cache keys), and an `Iterable`
is a list, which can be read twice.
"""

from __future__ import annotations

import typing
import warnings
from collections.abc import Callable, Mapping
from datetime import datetime, time, timezone
from typing import TYPE_CHECKING, Any

from flowyml_aws.core.annotations import unwrapped

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import CoreSchema, SchemaValidator

__all__ = ["InvalidValueError", "validate", "validator_of"]

_TEMPORAL = ("date", "datetime", "time", "timedelta")
_NOT_SCHEMAS = ("default", "expected", "metadata", "serialization")
"""Items of a schema with values of the user."""


class InvalidValueError(ValueError):
    """A value can't be converted to a type."""


def validate(annotation: Any, value: Any, strict: bool = False) -> Any:
    """Return a value as a value of a type.

    Args:
        annotation: Type that has a validator.
        value: Text, or a value with the types of JSON, TOML or of a Python literal.
        strict: Whether the value must already have the type.

    Raises:
        InvalidValueError: The value can't be converted.
    """
    from pydantic_core import ValidationError

    try:
        (converted,) = validator_of(annotation).validate_python([value], strict=strict)
    except ValidationError as error:
        raise InvalidValueError(_reason(error)) from None
    except Exception as error:  # whatever a validator of the user raises
        raise InvalidValueError(f"{type(error).__name__}: {error}") from error
    return converted


def validator_of(annotation: Any) -> SchemaValidator:
    """Return the validator of a list of a type: the list gives dataclasses its configuration.

    Raises:
        Exception: pydantic can't evaluate the annotation, which is the user's code.
    """
    from pydantic import ConfigDict, PydanticUserError, TypeAdapter
    from pydantic_core import SchemaValidator

    config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of annotations that pydantic can't check
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(list[annotation], config=config)
        except PydanticUserError:
            if not typing.is_typeddict(unwrapped(annotation)):
                raise
            adapter = TypeAdapter(list[dict[str, Any]], config=config)  # before Python 3.12
    return SchemaValidator(_adapted(adapter.core_schema))


def _adapted(schema: Any) -> Any:
    """Return a schema of pydantic with the differences of this module."""
    if isinstance(schema, list):
        return [_adapted(item) for item in schema]
    if isinstance(schema, tuple):
        return tuple(_adapted(item) for item in schema)
    if not isinstance(schema, Mapping):
        return schema
    adapted: dict[str, Any] = {
        key: item if key in _NOT_SCHEMAS else _adapted(item) for key, item in schema.items()
    }
    if adapted.get("type") == "generator":
        adapted["type"] = "list"
    if adapted.get("type") in _TEMPORAL:
        return _temporal(typing.cast("CoreSchema", adapted))
    return adapted


def _temporal(schema: CoreSchema) -> CoreSchema:
    from pydantic_core import core_schema

    refuse: Callable[[Any], Any] = _no_number
    adapted = core_schema.no_info_after_validator_function(_with_standard_zone, schema)
    return core_schema.no_info_before_validator_function(refuse, adapted)


def _no_number(value: Any) -> Any:
    """Refuse a number, which could be seconds, milliseconds, or a date without dashes."""
    is_number = isinstance(value, int | float)
    if isinstance(value, str):
        try:
            float(value)
            is_number = True
        except ValueError:
            pass
    if is_number:
        raise ValueError("expected ISO 8601 format, got a number")
    return value


def _with_standard_zone(value: Any) -> Any:
    if isinstance(value, datetime | time) and type(value.tzinfo).__module__.startswith("pydantic"):
        offset = value.utcoffset()
        assert offset is not None
        return value.replace(tzinfo=timezone(offset) if offset else timezone.utc)
    return value


def _reason(error: ValidationError) -> str:
    reasons = []
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        location = ".".join(map(str, detail["loc"][1:]))
        message = detail["msg"].removeprefix("Value error, ")
        message = message[:1].lower() + message[1:]
        reasons.append(f"{location}: {message}" if location else message)
    return "; ".join(dict.fromkeys(reasons))
