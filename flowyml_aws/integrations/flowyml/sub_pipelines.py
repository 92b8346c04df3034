"""Conversion of FlowyML's sub-pipelines, and their outcome as FlowyML's users read it.

FlowyML runs a sub-pipeline inside one step; here its steps become steps of the pipeline. FlowyML's
result has both: `sub:prepare`, with the outcome of all of them, and `sub:prepare/clean`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from flowyml.core.subpipeline import SubPipelineStep

from flowyml_aws.core.errors import FlowymlError, InvalidPipelineError, InvalidSubPipelineError
from flowyml_aws.core.inlining import inline
from flowyml_aws.core.sub_pipelines import SubPipeline
from flowyml_aws.pipeline import Pipeline
from flowyml_aws.runtime.result import StepReport, StepState

__all__ = ["is_in", "is_sub_pipeline", "sub_pipeline_of", "sub_pipelines_in", "with_sub_pipelines"]

_OF_STEPS = {
    "condition": None,
    "execution_group": None,
    "resources": None,
    "retry": 0,
    "timeout": None,
}
"""Arguments of a sub-pipeline that only its steps can have, with their defaults."""


def is_sub_pipeline(item: Any) -> bool:
    """Return whether an item of a FlowyML pipeline is a sub-pipeline."""
    return isinstance(item, SubPipelineStep)


def sub_pipeline_of(
    item: SubPipelineStep, position: int, convert: Callable[[Any, Collection[str]], Pipeline]
) -> SubPipeline:
    """Convert a sub-pipeline.

    Args:
        item: The sub-pipeline.
        position: Number of converted steps before it.
        convert: Function that converts a FlowyML pipeline with inputs of these names.

    Raises:
        InvalidPipelineError: With every mistake and every unsupported feature in it.
    """
    problems: list[FlowymlError] = [*_unsupported_arguments(item)]
    sources = {name: item.input_mapping.get(name, name) for name in item.inputs}
    sources |= item.input_mapping
    converted = None
    try:
        converted = convert(item.sub_pipeline, set(sources.values()))
        made = SubPipeline(
            _with_awaited_inputs(converted, item, sources.values()),
            position,
            item.name,
            outputs=tuple(item.outputs),
            input_mapping=sources,
            output_mapping=dict(item.output_mapping),
        )
    except InvalidPipelineError as error:
        problems += error.problems
    except FlowymlError as error:
        problems.append(error)
    if problems:
        raise InvalidPipelineError(item.sub_pipeline.name, problems)
    return made


def _unsupported_arguments(item: SubPipelineStep) -> Iterator[FlowymlError]:
    for argument, default in _OF_STEPS.items():
        if (value := getattr(item, argument, default)) != default:
            yield InvalidSubPipelineError(
                what=f"Sub-pipeline {item.name!r}: {argument}={value!r} is not supported",
                why="its steps are steps of the pipeline, each with its own job or group",
                fix=f"write @step({argument}=…) above the steps of the sub-pipeline",
            )


def _with_awaited_inputs(
    pipeline: Pipeline, item: SubPipelineStep, inputs: Collection[str]
) -> Pipeline:
    """Return a pipeline whose first steps wait for the inputs that no step reads, as in FlowyML."""
    content = inline(pipeline)
    read = {name for step in content.steps for name in (*step.inputs, *step.after)}
    unread = tuple(name for name in inputs if name not in read)
    produced = {asset for step in content.steps for asset in step.assets}
    pipeline.enable_cache = getattr(item.sub_pipeline, "enable_cache", True)
    for number, step in enumerate(pipeline.steps):
        if unread and produced.isdisjoint(step.inputs):
            pipeline.steps[number] = replace(step, after=(*step.after, *unread))
    return pipeline


def with_sub_pipelines(steps: Collection[Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the FlowyML steps of a pipeline and of its sub-pipelines, with their names in a run."""
    for item in steps:
        yield f"{path}{item.name}", item
        if is_sub_pipeline(item):
            yield from with_sub_pipelines(item.sub_pipeline.steps, f"{path}{item.name}/")


def sub_pipelines_in(
    steps: Collection[Any], reports: Mapping[str, StepReport]
) -> dict[str, StepReport]:
    """Return a report on each sub-pipeline that a FlowyML pipeline declares, by its name.

    Args:
        steps: Steps of the pipeline.
        reports: Reports on all steps of the run, by name.
    """
    return {
        item.name: _combined(
            item.name, [each for name, each in reports.items() if is_in(name, item.name)]
        )
        for item in steps
        if is_sub_pipeline(item)
    }


def is_in(step: str, sub_pipeline: str) -> bool:
    """Return whether a step of a run belongs to a sub-pipeline."""
    return step.startswith(f"{sub_pipeline}/")


_FIRST_FOUND = (StepState.FAILED, StepState.CANCELLED, StepState.RUNNING)
"""States of one step that are those of the sub-pipeline."""
_DONE = (StepState.SUCCEEDED, StepState.SKIPPED, StepState.CACHED)


def _combined(name: str, reports: Collection[StepReport]) -> StepReport:
    states = {report.state for report in reports}
    found = [state for state in _FIRST_FOUND if state in states]
    if len(states) == 1:
        found = [*states]
    elif not found and states <= {*_DONE}:
        found = [StepState.SUCCEEDED]
    elif not found and not states.isdisjoint(_DONE):
        found = [StepState.RUNNING]
    failure = next((each.failure for each in reports if each.state is StepState.FAILED), None)
    return StepReport(
        name=name,
        state=found[0] if found else StepState.WAITING,
        retries=sum(each.retries for each in reports),
        started_at=min((each.started_at for each in reports if each.started_at), default=None),
        ended_at=max((each.ended_at for each in reports if each.ended_at), default=None),
        failure=failure,
    )
