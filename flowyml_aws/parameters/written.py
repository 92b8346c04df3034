"""Conversion of text and of values in files to the types of parameters, with pydantic."""

from __future__ import annotations

import ast
import json
import re
import typing
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from enum import Enum
from types import NoneType
from typing import Any

from flowyml_aws.core.annotations import (
    NO_TYPE,
    base_type,
    is_union,
    members,
    unwrapped,
    without_aliases,
)
from flowyml_aws.core.context import ContextText, WrittenValue
from flowyml_aws.parameters.validation import InvalidValueError, validate, validator_of

__all__ = ["convert", "is_convertible", "read_literal"]

_NONE = ("null", "None")
_PADDED = re.compile(r"\s*[+-]?0\d")
_ONE_SHOT = (Iterator, Generator)
_CONTAINERS = (list, dict, tuple)


def convert(annotation: Any, written: WrittenValue) -> Any:
    """Return the value of a type that a written value means.

    Text is a value in its plain form (`0.5`, `no`, `data/x.csv`, `2026-05-01`), JSON, or a Python
    literal. For `str` it is kept exactly as it is. In a union, `null` and `None` mean None,
    text that is a value of one of the types is this value, and otherwise the first type that takes
    the text decides; `str` is the last one.

    Args:
        annotation: Type of the parameter, for which `is_convertible` is true; or `NO_TYPE`: text
            is then JSON or, if it is not valid JSON, a string.
        written: Text, or a value in a file.

    Raises:
        InvalidValueError: The value does not have the form that the type requires.
    """
    if isinstance(written, ContextText):
        return _untyped(written.text) if annotation is NO_TYPE else _text(annotation, written.text)
    return written.value if annotation is NO_TYPE else _entry(annotation, written.value)


def is_convertible(annotation: Any) -> bool:
    """Return whether values can be converted to a type: whether pydantic knows what it means."""
    try:
        validator_of(annotation)
    except Exception:  # pydantic evaluates annotations, which are the user's code
        return False
    return True


def read_literal(text: str) -> Any:
    """Return the value of a Python literal. A set is a list, which keeps its order.

    Raises:
        ValueError: The text is not a literal.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of invalid escapes
            tree = _Lists().visit(ast.parse(text.strip(), mode="eval"))
            return ast.literal_eval(tree)
    except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(str(error)) from error


class _Lists(ast.NodeTransformer):
    def visit_Set(self, node: ast.Set) -> ast.List:
        self.generic_visit(node)
        return ast.List(node.elts, ast.Load())


def _untyped(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _text(annotation: Any, text: str) -> Any:
    annotation = without_aliases(annotation)
    if typing.get_origin(annotation) is typing.Annotated:
        return _annotated(annotation, text)
    kind, base = unwrapped(annotation), base_type(annotation)
    if is_union(kind):
        return _union(members(kind), text)
    if base is typing.Literal:
        return _one_of(typing.get_args(kind), text)
    if base in (None, NoneType):
        if text in _NONE:
            return None
        raise InvalidValueError("expected null or None")
    if not isinstance(base, type) or issubclass(base, _ONE_SHOT):
        raise InvalidValueError("a value of this type can't be written as text")
    if issubclass(base, Enum):
        return _enum(base, text)
    try:
        return _plain(kind, base, text)
    except InvalidValueError:
        for value in _literals(text):
            if isinstance(value, _CONTAINERS):
                return _entry(kind, value)
            with suppress(InvalidValueError):
                # A scalar keeps its type: `true` is not the integer 1.
                return _entry(kind, value, strict=True)
        raise


def _plain(kind: Any, base: type, text: str) -> Any:
    """Convert the plain form of a value, such as `0.5` or `data/x.csv`."""
    if not issubclass(base, str) and _takes_any_string(base):
        raise InvalidValueError("expected JSON or a Python literal")
    return validate(kind, text)


def _entry(annotation: Any, value: Any, strict: bool = False) -> Any:
    """Convert a value that has the types of JSON, TOML or of a Python literal."""
    base = base_type(annotation)
    if isinstance(base, type) and issubclass(base, _ONE_SHOT):
        raise InvalidValueError("a value of this type can't be written in a file")
    if isinstance(base, type) and issubclass(base, Enum) and isinstance(value, str):
        return _enum(base, value)
    return validate(annotation, value, strict)


def _annotated(annotation: Any, text: str) -> Any:
    """Convert text to the type, and check the result with the constraints."""
    base = typing.get_args(annotation)[0]
    # A validator of the user may take the text itself.
    return _first(
        [
            lambda: validate(annotation, _text(base, text)),
            lambda: validate(annotation, text),
        ]
    )


def _union(types: tuple[Any, ...], text: str) -> Any:
    if NoneType in types and text in _NONE:
        return None
    for value in _literals(text):
        if not isinstance(value, str) and type(value) in types:
            return value
    strings = [kind for kind in types if _is_string(kind)]
    others = [kind for kind in types if kind is not NoneType and not _is_string(kind)]
    if strings and _PADDED.match(text):  # an identifier such as 007, not the number 7
        others = [kind for kind in others if base_type(kind) not in (int, float)]
    return _first([_converter(kind, text) for kind in (*others, *strings)])


def _converter(kind: Any, text: str) -> Callable[[], Any]:
    return lambda: _text(kind, text) if kind is not Any else _untyped(text)


def _one_of(allowed: tuple[Any, ...], text: str) -> Any:
    for value in (*_literals(text), text):
        for item in allowed:
            if (type(item) is type(value) and item == value) or (
                isinstance(item, Enum) and value in (item.value, item.name)
            ):
                return item
    raise InvalidValueError(f"expected {' or '.join(map(repr, allowed))}")


def _enum(kind: type[Enum], text: str) -> Any:
    """Return the member with a value, or otherwise with a name."""
    values = {str(item.value): item for item in kind}
    if text in values:
        return values[text]
    if text in kind.__members__:
        return kind.__members__[text]
    return validate(kind, text)


def _first(attempts: list[Callable[[], Any]]) -> Any:
    """Return the first result without a mismatch."""
    mismatches: list[InvalidValueError] = []
    for attempt in attempts:
        try:
            return attempt()
        except InvalidValueError as error:
            mismatches.append(error)
    raise InvalidValueError(", or ".join(dict.fromkeys(map(str, mismatches))))


def _literals(text: str) -> list[Any]:
    """Return the value of text as JSON, or otherwise as a Python literal, or nothing."""
    for read in (json.loads, read_literal):
        try:
            return [read(text)]
        except (ValueError, RecursionError):
            continue
    return []


def _is_string(kind: Any) -> bool:
    base = base_type(kind)
    return base is Any or (
        isinstance(base, type) and issubclass(base, str) and not issubclass(base, Enum)
    )


def _takes_any_string(base: type) -> bool:
    """Return whether every string is an instance of a class, such as `Iterable`."""
    try:
        return isinstance("", base)
    except TypeError:  # protocols and typed dicts
        return False
