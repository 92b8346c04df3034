"""Context of a run: the value of each name, checked against every parameter that takes it."""

from __future__ import annotations

import reprlib
import typing
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from flowyml_aws.core.annotations import NO_TYPE, base_type, members, unwrapped
from flowyml_aws.core.binding import BoundStep
from flowyml_aws.core.context import ContextEntry, ContextText, WrittenValue
from flowyml_aws.core.errors import FlowymlError, InvalidContextError
from flowyml_aws.core.parameters import ContextParameter, context_parameters
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.parameters.defaults import type_of_default
from flowyml_aws.parameters.given import can_be_meant, is_structured
from flowyml_aws.parameters.names import unknown_in_pipeline, unknown_in_run
from flowyml_aws.parameters.validation import InvalidValueError
from flowyml_aws.parameters.written import convert, is_convertible

__all__ = ["ResolvedContext", "resolve_context", "resolve_value"]

_EXAMPLES: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number such as 10",
    float: "a number such as 0.5",
    date: "a date such as 2026-05-01",
    datetime: "a time such as 2026-05-01T12:30:00+02:00",
    time: "a time such as 12:30",
    timedelta: "a duration such as PT30S or 0:00:30",
}


@dataclass(frozen=True, slots=True)
class ResolvedContext:
    """The context values of a plan or a run.

    Attributes:
        values: Value of each name. With a problem, it is the written value itself.
        problems: An error for each mistake.
        notes: Notes for the plan.
    """

    values: Mapping[str, Any]
    problems: Sequence[FlowymlError]
    notes: Sequence[str]


def resolve_context(
    pipeline: str,
    steps: Sequence[BoundStep],
    of_pipeline: Mapping[str, Any],
    of_run: Mapping[str, Any],
    mapped: Collection[str] = (),
) -> ResolvedContext:
    """Convert what was written, and find the mistakes in the names and values of a context.

    Args:
        pipeline: Name of the pipeline.
        steps: Its steps, with their arguments.
        of_pipeline: Context of the pipeline.
        of_run: Context of this plan or run, which overrides that of the pipeline. Values that were
            not given in Python are `WrittenValue`.
        mapped: Names that steps map over, so that no parameter has to take them.
    """
    takers: dict[str, list[ContextParameter]] = {}
    for parameter in context_parameters(steps):
        takers.setdefault(parameter.name, []).append(parameter)
    values = {**of_pipeline, **of_run}
    problems = unknown_in_run(pipeline, [name for name in of_run if name not in mapped], takers)
    own = [name for name in of_pipeline if name not in of_run and name not in mapped]
    similar, notes = unknown_in_pipeline(own, takers, values)
    problems += similar
    for name in values:
        values[name], mistakes = resolve_value(name, values[name], takers.get(name, ()))
        problems += mistakes
    return ResolvedContext(values, problems, notes)


def resolve_value(
    name: str, value: Any, parameters: Sequence[ContextParameter]
) -> tuple[Any, list[FlowymlError]]:
    """Return the value that the parameters of a name get, and the mistakes in it.

    Annotations decide about written values. The types of defaults decide only if no parameter of
    the name has an annotation that can be checked.
    """
    if not isinstance(value, ContextText | ContextEntry):
        return value, _mistakes_in_python(name, value, parameters)
    types = [(p, _accepted(p)) for p in parameters if p.type is not NO_TYPE]
    types = [(p, kind) for p, kind in types if is_convertible(kind)]
    written = value.text if isinstance(value, ContextText) else value.value
    if not types and isinstance(written, str):
        defaults = [(p, type_of_default(p.declared.default)) for p in parameters]
        types = [(p, kind) for p, kind in defaults if kind is not NO_TYPE]
    return _converted(name, value, written, types)


def _converted(
    name: str,
    value: WrittenValue,
    written: Any,
    types: Sequence[tuple[ContextParameter, Any]],
) -> tuple[Any, list[FlowymlError]]:
    results: list[tuple[ContextParameter, Any]] = []
    problems: list[FlowymlError] = []
    for parameter, kind in _distinct(types):
        try:
            results.append((parameter, convert(kind, value)))
        except InvalidValueError as error:
            problems.append(_mismatch(name, written, parameter, kind, str(error)))
    if problems:
        return written, problems
    if not results:
        return convert(NO_TYPE, value), []
    first, chosen = results[0]
    for parameter, result in results[1:]:
        if _is_same(chosen, result):
            continue
        if not _is_same_number(chosen, result):
            return written, [_conflict(name, written, first, chosen, parameter, result)]
        chosen = min(chosen, result, key=lambda number: isinstance(number, float))
    return chosen, []


def _mistakes_in_python(
    name: str, value: Any, parameters: Sequence[ContextParameter]
) -> list[FlowymlError]:
    checked = [(p, p.type) for p in parameters if p.type is not NO_TYPE]
    return [
        _wrong_type(name, value, parameter, kind)
        for parameter, kind in _distinct(checked)
        if not (value is None and parameter.declared.default is None)
        and not can_be_meant(kind, value)
    ]


def _distinct(
    types: Sequence[tuple[ContextParameter, Any]],
) -> list[tuple[ContextParameter, Any]]:
    """Return the first parameter with each type."""
    distinct: list[tuple[ContextParameter, Any]] = []
    for parameter, kind in types:
        if all(kind is not other and kind != other for _, other in distinct):
            distinct.append((parameter, kind))
    return distinct


def _accepted(parameter: ContextParameter) -> Any:
    """Return the type of a parameter, with None if that is its default."""
    if parameter.declared.default is None:
        return typing.Optional[parameter.type]  # noqa: UP045  # `X | None` fails for some types
    return parameter.type


def _is_same(value: Any, other: Any) -> bool:
    return type(value) is type(other) and repr(value) == repr(other)


def _is_same_number(value: Any, other: Any) -> bool:
    """Return whether two numbers are an int and an equal float: an int serves both parameters."""
    return {type(value), type(other)} == {int, float} and bool(value == other)


def _mismatch(
    name: str, written: Any, parameter: ContextParameter, kind: Any, reason: str
) -> FlowymlError:
    return InvalidContextError(
        what=f"Invalid context value {name}={_short(written)}",
        why=f"{parameter}: {reason}",
        fix=_advice(written, parameter, kind),
    )


def _wrong_type(
    name: str, value: Any, parameter: ContextParameter, kind: Any
) -> InvalidContextError:
    fix = "pass a value of this type, or change the annotation"
    if base_type(kind) is typing.Literal:
        fix = _advice(value, parameter, kind)
    elif isinstance(value, str) and is_convertible(kind):
        with suppress(InvalidValueError):
            fix = f"pass {_short(convert(kind, ContextText(value)))}, or change the annotation"
    elif not isinstance(value, str):
        fix = f"pass {str(value)!r}, or change the annotation"
    return InvalidContextError(
        what=f"Invalid context value {name}={_short(value)}",
        why=f"{parameter} does not take a value of type {type(value).__name__}"
        if base_type(kind) is not typing.Literal
        else f"{parameter} takes no other value",
        fix=fix,
    )


def _conflict(
    name: str,
    written: Any,
    first: ContextParameter,
    value: Any,
    second: ContextParameter,
    other: Any,
) -> InvalidContextError:
    return InvalidContextError(
        what=f"Ambiguous context value {name}={_short(written)}",
        why=f"it means {_short(value)} for {first}, and {_short(other)} for {second}",
        fix="give both parameters the same annotation, or different names",
    )


def _advice(written: Any, parameter: ContextParameter, kind: Any) -> str:
    literals = [item for item in members(kind) if base_type(item) is typing.Literal]
    allowed = [str(value) for item in literals for value in typing.get_args(unwrapped(item))]
    if allowed:
        return did_you_mean(str(written), allowed, f"write {' or '.join(allowed)}")
    if parameter.type is NO_TYPE:
        return "write a value of the default's type, or annotate the parameter with its types"
    base = base_type(kind)
    if is_structured(base):
        return "write it as JSON or as a Python literal, such as [1, 2] or {'a': 1}"
    example = _EXAMPLES.get(base, "a value of this type, pass one in Python")
    return f"write {example}, or change the annotation"


def _short(value: Any) -> str:
    shorten = reprlib.Repr()
    shorten.maxstring = shorten.maxother = 80
    return shorten.repr(value)
