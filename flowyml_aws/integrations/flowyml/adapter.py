"""FlowyML's pipelines as ours: the same functions, values and declarations, read without a change.

What a job of ours can't do is refused by its name, all of it in one report.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from flowyml_aws.core.binding import bind
from flowyml_aws.core.context import Context
from flowyml_aws.core.errors import FlowymlError, InvalidPipelineError, UserError
from flowyml_aws.core.resources import (
    GPUConfig,
    NodeAffinity,
    ResourceRequirements,
    read_resources,
)
from flowyml_aws.core.step import Step, step
from flowyml_aws.core.step_objects import is_flowyml_step
from flowyml_aws.pipeline import Pipeline

__all__ = ["UnsupportedFeatureError", "pipeline_of", "step_of"]

_KINDS = {
    "ApprovalStep": "split the pipeline where a person decides, and run the second part after that",
    "DynamicStep": "make the pipeline's steps before it runs, in the script",
    "EvalStep": "call the evaluation inside a @step",
    "MapTaskStep": "map inside a @step (a pool of processes, say), or declare a step for each part",
    "SubPipelineStep": "add the sub-pipeline's own steps with add_steps",
}
_CONDITION = "give each step its own condition: @step(condition=…)"


class UnsupportedFeatureError(UserError, NotImplementedError):
    """A feature of FlowyML that jobs on AWS do not have."""


def pipeline_of(
    pipeline: Any,
    inputs: Collection[str] = (),
    store_all: bool = False,
    without_context: Collection[str] = (),
) -> Pipeline:
    """Return the pipeline of this package for a FlowyML pipeline.

    Args:
        pipeline: A `flowyml.Pipeline`.
        inputs: Names of external inputs.
        store_all: Whether values that pass between the steps of a group are stored, too.
        without_context: Names in the context that belong to the run, not to the pipeline.

    Raises:
        InvalidPipelineError: With everything in it that can't run here.
    """
    problems: list[FlowymlError] = [*_unsupported(pipeline)]
    context = Context(**pipeline.context.to_dict())
    steps: list[Step] = []
    made = {asset for one in pipeline.steps for asset in _assets_of(one)} | set(inputs)
    for one in pipeline.steps:
        if not is_flowyml_step(one):
            continue
        try:
            steps.append(step_of(one, made, context, store_all))
        except FlowymlError as error:
            problems.append(error)
    if problems:
        raise InvalidPipelineError(pipeline.name, problems)
    declared = {name: context[name] for name in context if name not in without_context}
    return Pipeline(pipeline.name, declared).add_steps(steps)


def step_of(
    given: Any, made: Collection[str], context: Collection[str], store_all: bool = False
) -> Step:
    """Our step for one of FlowyML's.

    Args:
        given: A `flowyml.Step`.
        made: Every asset that there will be.
        context: Names in the context.
        store_all: Store its outputs in any case.

    Raises:
        InvalidResourcesError: Its resources can't be read.
        UnsupportedFeatureError: Its cache rule is a function of values.
    """
    if callable(given.cache):
        raise UnsupportedFeatureError(
            what=f"Step {given.name!r}: its cache rule is a function of its inputs",
            why="what is cached is decided before anything runs, when inputs have no values yet",
            fix='use cache="input_hash": it follows the contents of the inputs',
        )
    # FlowyML keeps no trace of whether its default rule was asked for.
    is_default = given.cache == "code_hash" and not store_all
    made_by_others = set(made).difference(_assets_of(given))
    inputs = tuple(given.inputs)
    return step(
        inputs=(*inputs, *_by_parameter(given.func, inputs, made_by_others, context)),
        outputs=tuple(given.outputs),
        cache=None if is_default else given.cache,
        retry=given.retry,
        timeout=given.timeout,
        resources=_resources_of(given),
        tags={str(key): str(value) for key, value in given.tags.items()},
        name=given.name,
        condition=given.condition,
        execution_group=given.execution_group,
    )(given.func)


def _by_parameter(
    func: Callable[..., Any],
    inputs: Sequence[str],
    made: Collection[str],
    context: Collection[str],
) -> Iterator[str]:
    """Assets that a function takes by a parameter's name without declaring them.

    FlowyML hands over what happens to be there when the step's turn comes: here it is an input.
    """
    missing = bind(func, inputs, context).missing
    yield from (parameter for parameter in missing if parameter in made)


def _assets_of(given: Any) -> Sequence[str]:
    return getattr(given, "outputs", None) or (str(getattr(given, "name", "")),)


def _resources_of(given: Any) -> ResourceRequirements | None:
    """The resources of a step: an object of FlowyML's, or a dict that it could not read."""
    found = given.resources
    if not found:
        return None
    if isinstance(found, (Mapping, ResourceRequirements)):
        try:
            return read_resources(found)
        except FlowymlError as error:
            raise type(error)(f"Step {given.name!r}: {error.what}", error.why, error.fix) from None
    gpu, affinity = found.gpu, found.node_affinity
    if isinstance(gpu, Mapping) or isinstance(affinity, Mapping):
        return read_resources({"gpu": gpu, "node_affinity": affinity, **_amounts(found)})
    return ResourceRequirements(
        gpu=GPUConfig(gpu.gpu_type, gpu.count, gpu.memory) if gpu else None,
        node_affinity=NodeAffinity(affinity.required, affinity.preferred, affinity.tolerations)
        if affinity
        else None,
        **_amounts(found),
    )


def _amounts(found: Any) -> dict[str, Any]:
    return {"cpu": found.cpu, "memory": found.memory, "storage": found.storage}


def _unsupported(pipeline: Any) -> Iterator[UnsupportedFeatureError]:
    for flow in pipeline.control_flows:
        yield _refused(f"Control flow {type(flow).__name__!r}", _CONDITION)
    for one in pipeline.steps:
        kind = type(one).__name__
        if kind in _KINDS or not is_flowyml_step(one):
            fix = _KINDS.get(kind, "make it a function with FlowyML's @step")
            yield _refused(f"Step {getattr(one, 'name', one)!r} ({kind})", fix)
        elif type(one).__module__ != "flowyml.core.step":
            fix = "make it a function with FlowyML's @step"
            yield _refused(f"Step {one.name!r} (a {kind} of its own kind)", fix)
    if getattr(pipeline, "_resume_from_checkpoint", False):
        yield _refused(
            "Resuming from a checkpoint",
            "run it again under another run_id: what has not changed is taken from earlier runs",
        )


def _refused(what: str, fix: str) -> UnsupportedFeatureError:
    return UnsupportedFeatureError(
        what=f"{what} can't run on AWS",
        why="every job is planned before anything starts, as steps with declared inputs",
        fix=fix,
    )
