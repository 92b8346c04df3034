"""Decisions whose inputs are known before the run: the client makes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from flowyml_aws.core.binding import BoundCall
from flowyml_aws.core.build import BuiltPipeline
from flowyml_aws.core.errors import FlowymlError, InvalidStepError
from flowyml_aws.core.event_loop import awaiting
from flowyml_aws.core.step import Step

__all__ = ["decide_known", "decision_notes"]


def decide_known(
    pipeline: BuiltPipeline, context: Mapping[str, Any], inputs: Mapping[str, Any]
) -> tuple[BuiltPipeline, list[FlowymlError]]:
    """Return the pipeline without the decisions that can be made now, and their mistakes.

    Args:
        pipeline: Pipeline with expanded maps.
        context: Context values.
        inputs: Values of external inputs, as far as known.
    """
    known = dict(inputs)
    cases: dict[str, str] = {}
    problems: list[FlowymlError] = []
    for step in pipeline.graph.steps:
        call = pipeline.graph.bound[step.name].function
        if not step.is_lowered or not _is_known(call, context, known):
            continue
        try:
            cases[step.name] = known[step.name] = _decide(step, call, known, context)
        except Exception as error:  # whatever the user's function raises
            problems.append(_failed(step, error))
    problems += _empty_in_branches(pipeline, cases)
    if not cases:
        return pipeline, problems
    graph = pipeline.graph.only({s.name for s in pipeline.graph.steps if s.name not in cases})
    names = {step.name for step in graph.steps}
    groups = tuple(part for group in pipeline.groups if (part := group.only(names)) is not None)
    return replace(pipeline, graph=graph, groups=groups, cases=cases), problems


def _empty_in_branches(pipeline: BuiltPipeline, cases: Mapping[str, str]) -> Iterator[FlowymlError]:
    """Yield an error for each map over an empty list in a branch that may not be taken.

    Without items, no step could be skipped: steps outside the branch would get an empty list.
    """
    for step in pipeline.empty_maps:
        branch = step.branch
        if branch is None or cases.get(branch.decision) == branch.case:
            continue
        readers = [
            each.name
            for each in pipeline.graph.steps
            if each.branch != branch and not set(step.assets).isdisjoint(each.inputs)
        ]
        if readers:
            yield InvalidStepError(
                what=f"Step {step.name!r} maps over an empty list in a branch",
                why=f"{readers[0]!r} reads its outputs, and could not see whether the branch was "
                "taken",
                fix=f"add the branch only if the list has items, or let {readers[0]!r} read them "
                "in the branch",
            )


def decision_notes(cases: Mapping[str, str]) -> list[str]:
    """Return a note on each decision that the client has made before the run.

    Args:
        cases: Case of each of these decisions.
    """
    return [
        f"{name!r} is decided before the run, because all its inputs are known: {case!r}"
        for name, case in cases.items()
    ]


def _is_known(call: BoundCall, context: Mapping[str, Any], inputs: Mapping[str, Any]) -> bool:
    is_complete = not call.missing and not call.ambiguous
    arguments = call.arguments
    return (
        is_complete
        and all(asset in inputs for asset in arguments.assets)
        and all(name in context for name in arguments.context)
    )


def _decide(
    step: Step, call: BoundCall, inputs: Mapping[str, Any], context: Mapping[str, Any]
) -> str:
    assert step.case_of is not None
    return step.case_of(awaiting(call.arguments.call)(step.func, inputs, context))


def _failed(step: Step, error: Exception) -> FlowymlError:
    return InvalidStepError(
        what=f"The condition of {step.name!r} failed",
        why=f"{type(error).__name__}: {error}",
        fix="correct it; all its inputs are known before the run, so that it is called while the "
        "run is planned",
    )
