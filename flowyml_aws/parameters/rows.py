"""Values of parameters for each item of a map, checked against the parameters that take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from flowyml_aws.core.binding import BoundStep
from flowyml_aws.core.errors import FlowymlError, InvalidStepError
from flowyml_aws.core.parameters import ContextParameter, context_parameters
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.core.step import Step
from flowyml_aws.parameters.resolve import resolve_value

__all__ = ["resolve_rows", "with_sweeps"]

Rows = Sequence[Mapping[str, Any]]


def with_sweeps(
    steps: Sequence[Step], sweeps: Mapping[str, Rows]
) -> tuple[tuple[Step, ...], list[FlowymlError]]:
    """Return the steps of a pipeline, some of them with other rows, and the mistakes.

    Args:
        steps: Steps in declaration order.
        sweeps: Values of parameters for each item, by step.
    """
    names = [step.name for step in steps]
    problems: list[FlowymlError] = [
        InvalidStepError(
            what=f"No step {name!r} for a sweep",
            why=f"the steps are {', '.join(names)}",
            fix=did_you_mean(name, names, "name one of them"),
        )
        for name in sweeps
        if name not in names
    ]
    swept: list[Step] = []
    for step in steps:
        if step.name not in sweeps:
            swept.append(step)
            continue
        try:
            swept.append(_with_rows(step, sweeps[step.name]))
        except InvalidStepError as error:
            problems.append(error)
            swept.append(step)
    return tuple(swept), problems


def _with_rows(step: Step, rows: Rows) -> Step:
    old = step.mapping
    if old is not None and old.over:
        raise InvalidStepError(
            what=f"Step {step.name!r} can't be swept",
            why=f"it maps over {', '.join(map(repr, old.over))}",
            fix="sweep a step that has no map, or one with `grid` or `rows`",
        )
    mapped = replace(step, mapping=None).map(rows=rows)
    if old is None or mapped.mapping is None:
        return mapped
    return replace(step, mapping=replace(old, rows=mapped.mapping.rows))


def resolve_rows(bound: BoundStep) -> tuple[BoundStep, list[FlowymlError]]:
    """Return a step with the values of its rows as its parameters get them, and the mistakes."""
    mapping = bound.step.mapping
    if mapping is None or mapping.rows is None:
        return bound, []
    takers: dict[str, list[ContextParameter]] = {}
    for parameter in context_parameters([bound]):
        takers.setdefault(parameter.name, []).append(parameter)
    taken = bound.context
    problems: list[FlowymlError] = [
        InvalidStepError(
            what=f"Step {bound.step.name!r} has no parameter {name!r} for the values of its map",
            why=f"the parameters are {', '.join(takers) or '(none)'}",
            fix=did_you_mean(name, takers, "correct the name, or add the parameter"),
        )
        for name in mapping.parameters
        if name not in taken
    ]
    if problems:
        return bound, problems
    known: dict[tuple[str, int], Any] = {}  # by parameter and object
    is_written = False
    for name in mapping.parameters:
        parameters = takers.get(name, ())
        for row in mapping.rows:
            value = row[name]
            key = name, id(value)
            if key not in known:
                known[key], mistakes = resolve_value(name, value, parameters)
                problems += [_located(problem, bound.step) for problem in mistakes]
                is_written = is_written or known[key] is not value
    if problems:
        return bound, list({str(problem): problem for problem in problems}.values())
    if not is_written:
        return bound, []
    rows = tuple({name: known[name, id(row[name])] for name in row} for row in mapping.rows)
    return replace(bound, step=replace(bound.step, mapping=replace(mapping, rows=rows))), []


def _located(problem: FlowymlError, step: Step) -> FlowymlError:
    return type(problem)(f"Map of step {step.name!r}: {problem.what}", problem.why, problem.fix)
