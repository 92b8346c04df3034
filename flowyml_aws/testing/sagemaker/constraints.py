"""Constraints in a service's model that botocore does not enforce.

The service model in botocore has the lengths, patterns, enumerations and ranges of every member,
but botocore checks few of them. The services check all, and so does the emulator, with that model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ServiceModel, Shape

from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.testing.sagemaker.errors import ValidationException

__all__ = ["check_constraints", "operation_input"]

# Unicode classes in patterns of AWS, and their equivalents in Python's `re`.
_CLASSES = {r"\p{L}": r"\w", r"\p{N}": r"\d", r"\p{Z}": r"\s", r"\p{M}": ""}


@cache
def operation_input(service: str, operation: str) -> Shape:
    """Return the shape of an operation's request."""
    model = ServiceModel(Loader().load_service_model(service, "service-2"), service)
    shape: Shape | None = model.operation_model(operation).input_shape
    assert shape is not None
    return shape


def check_constraints(shape: Shape, request: Any) -> None:
    """Check a request against the service model.

    Raises:
        ValidationException: The request violates constraints; the message lists all of them.
    """
    if messages := list(_violations(shape, request, "")):
        noun = "error" if len(messages) == 1 else "errors"
        raise ValidationException(
            f"{len(messages)} validation {noun} detected: {'; '.join(messages)}"
        )


def _violations(shape: Any, value: Any, path: str) -> Iterator[str]:
    kind = shape.type_name
    if kind == "structure":
        for name in shape.required_members:
            if value.get(name) is None:
                yield _message(None, f"{path}.{_camel(name)}", "Member must not be null")
        for name, member in value.items():
            if name not in shape.members:
                yield _message(member, f"{path}.{name}", "Member is not known")
            elif member is not None:
                yield from _violations(shape.members[name], member, f"{path}.{_camel(name)}")
        return
    yield from (_message(value, path, text) for text in _broken_constraints(shape, value))
    if kind == "list":
        for number, member in enumerate(value, start=1):
            yield from _violations(shape.member, member, f"{path}.{number}.member")
    elif kind == "map":
        for key, member in value.items():
            yield from _violations(shape.key, key, f"{path}.{key}.key")
            yield from _violations(shape.value, member, f"{path}.{key}.value")


def _broken_constraints(shape: Any, value: Any) -> Iterator[str]:
    limits: Mapping[str, Any] = shape.metadata
    least, most = limits.get("min"), limits.get("max")
    if isinstance(value, (str, list, dict)):
        measure, size = "have length", len(value)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        measure, size = "have value", int(value)
    else:
        return
    if least is not None and size < least:
        yield f"Member must {measure} greater than or equal to {least}"
    if most is not None and size > most:
        yield f"Member must {measure} less than or equal to {most}"
    if (values := limits.get("enum")) and value not in values and not _is_newer(shape, value):
        yield f"Member must satisfy enum value set: [{', '.join(values)}]"
    if (pattern := limits.get("pattern")) and not _compiled(pattern).fullmatch(value):
        yield f"Member must satisfy regular expression pattern: {pattern}"


def _is_newer(shape: Shape, value: str) -> bool:
    """Return whether a value is an instance type that an older model of boto3 does not contain."""
    if shape.name != "TrainingInstanceType":
        return False
    known = load_catalog().get(value)
    return known is not None and known.sagemaker_name == value


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    for unicode_class, python_class in _CLASSES.items():
        pattern = pattern.replace(unicode_class, python_class)
    return re.compile(pattern)


def _message(value: Any, path: str, constraint: str) -> str:
    shown = "null" if value is None else f"'{value}'"
    return f"Value {shown} at '{path.lstrip('.')}' failed to satisfy constraint: {constraint}"


def _camel(name: str) -> str:
    return name[:1].lower() + name[1:]
