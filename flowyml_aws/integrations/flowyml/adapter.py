"""Conversion of FlowyML pipelines to pipelines of this package, with the same functions and values.

All unsupported features are rejected by name in one report.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from flowyml.core.step import Step as FlowymlStep

from flowyml_aws.core.binding import bind, bind_step
from flowyml_aws.core.context import Context
from flowyml_aws.core.errors import (
    FlowymlError,
    InvalidPipelineError,
    InvalidStepError,
    UserError,
)
from flowyml_aws.core.lowering import step_of_function
from flowyml_aws.core.resources import ResourceRequirements
from flowyml_aws.core.step import Step, step
from flowyml_aws.core.step_objects import is_flowyml_step
from flowyml_aws.core.sub_pipelines import SubPipeline
from flowyml_aws.integrations.flowyml.approvals import approval_of, is_approval, with_waits
from flowyml_aws.integrations.flowyml.building import eval_inputs, is_evaluation
from flowyml_aws.integrations.flowyml.control_flows import (
    becomes_step,
    branch_steps,
    convert_flow,
    is_supported_flow,
)
from flowyml_aws.integrations.flowyml.dynamic_steps import as_dynamic, dynamic_call_of
from flowyml_aws.integrations.flowyml.resources import requirements_of
from flowyml_aws.integrations.flowyml.run_defaults import RunDefaults
from flowyml_aws.integrations.flowyml.sub_pipelines import is_sub_pipeline, sub_pipeline_of
from flowyml_aws.pipeline import Pipeline
from flowyml_aws.runtime.flowyml_map_task import map_task_of

__all__ = ["UnsupportedFeatureError", "pipeline_of", "step_of"]

_NO_DEFAULTS = RunDefaults()
_CONDITION = "use If or Switch, or give each step its own condition: @step(condition=…)"
_FUNCTION = "write it as a function with FlowyML's @step"


class UnsupportedFeatureError(UserError, NotImplementedError):
    """A feature of FlowyML that this package does not support."""


def pipeline_of(
    pipeline: Any,
    inputs: Collection[str] = (),
    store_all: bool = False,
    without_context: Collection[str] = (),
    defaults: RunDefaults = _NO_DEFAULTS,
) -> Pipeline:
    """Convert a FlowyML pipeline to a pipeline of this package.

    Args:
        pipeline: A `flowyml.Pipeline`.
        inputs: Names of external inputs.
        store_all: Whether values that pass between the steps of a group are stored, too.
        without_context: Names in the context that belong to the run, not to the pipeline.
        defaults: Requirements and retries of the steps that declare none.

    Raises:
        InvalidPipelineError: With every unsupported feature and invalid step.
    """
    problems: list[FlowymlError] = [*_unsupported_features(pipeline)]
    context = Context(**pipeline.context.to_dict())
    all_items = [*pipeline.steps, *branch_steps(pipeline.control_flows)]
    assets = {asset for item in all_items for asset in _assets_of(item)} | set(inputs)
    converted: dict[int, Step] = {}
    convert = partial(pipeline_of, store_all=store_all, defaults=defaults)
    sub_pipelines: dict[int, SubPipeline] = {}
    for item in all_items:
        if not becomes_step(item) or id(item) in converted:
            continue
        if is_sub_pipeline(item):
            try:
                sub_pipelines[id(item)] = sub_pipeline_of(item, len(converted), convert)
            except InvalidPipelineError as error:
                problems += error.problems
            continue
        try:
            if is_approval(item):
                converted[id(item)] = approval_of(item)
            elif is_flowyml_step(item):
                made = step_of(item, assets, context, store_all, convert)
                converted[id(item)] = defaults.apply(made)
            else:
                converted[id(item)] = defaults.apply(step_of_function(item, assets, context))
        except FlowymlError as error:
            problems.append(error)
    if problems:
        raise InvalidPipelineError(pipeline.name, problems)
    declared = {name: context[name] for name in context if name not in without_context}
    waiting = with_waits([(converted | sub_pipelines)[id(item)] for item in all_items])
    for item, each in zip(all_items, waiting, strict=True):
        if isinstance(each, SubPipeline):
            sub_pipelines[id(item)] = each
        else:
            converted[id(item)] = each
    ids = [id(item) for item in pipeline.steps]
    adapted = Pipeline(pipeline.name, declared)
    adapted.add_steps(converted[each] for each in ids if each in converted)
    adapted.sub_pipelines += (sub_pipelines[each] for each in ids if each in sub_pipelines)
    for flow in pipeline.control_flows:
        adapted.add_control_flow(convert_flow(flow, lambda item: converted[id(item)]))
    return adapted


def step_of(
    flowyml_step: Any,
    assets: Collection[str],
    context: Collection[str],
    store_all: bool = False,
    convert: Callable[[Any], Pipeline] | None = None,
) -> Step:
    """Convert a FlowyML step to a step of this package.

    Args:
        flowyml_step: A `flowyml.Step`.
        assets: Names of all assets of the pipeline.
        context: Names in the context.
        store_all: Whether its outputs are stored even if only its group reads them.
        convert: Converts the pipeline that a dynamic step returns; by default, `pipeline_of`.

    Raises:
        InvalidResourcesError: Its resources are invalid.
        InvalidStepError: It is an evaluation without data.
        UnsupportedFeatureError: Its cache rule is a function, or inputs without a parameter
            decide which index the others have.
    """
    if callable(flowyml_step.cache):
        raise UnsupportedFeatureError(
            what=f"Step {flowyml_step.name!r}: a function as cache rule is not supported",
            why="cache hits are decided before the run starts, when inputs have no values yet",
            fix='use cache="input_hash", which depends on the content of the inputs',
        )
    # FlowyML does not record whether its default rule was set explicitly.
    is_default = flowyml_step.cache == "code_hash" and not store_all
    upstream_assets = set(assets).difference(_assets_of(flowyml_step))
    dynamic_call = dynamic_call_of(flowyml_step, convert or pipeline_of)
    function = dynamic_call or map_task_of(flowyml_step) or flowyml_step.func
    inputs = tuple(flowyml_step.inputs)
    if is_evaluation(function):
        inputs = inputs or _eval_inputs(flowyml_step.name, upstream_assets)
    inputs += tuple(_undeclared_inputs(function, inputs, upstream_assets, context))
    declared = step(
        inputs=inputs,
        outputs=tuple(flowyml_step.outputs),
        cache=None if is_default else flowyml_step.cache,
        retry=flowyml_step.retry,
        timeout=flowyml_step.timeout,
        resources=_resources_of(flowyml_step),
        tags={str(key): str(value) for key, value in flowyml_step.tags.items()},
        name=flowyml_step.name,
        condition=flowyml_step.condition,
        execution_group=flowyml_step.execution_group,
    )(function)
    declared = replace(declared, notes=tuple(_notes(flowyml_step)))
    if dynamic_call is not None:
        declared = as_dynamic(declared)
    return _without_untaken_inputs(declared, upstream_assets, context)


def _eval_inputs(name: str, assets: Collection[str]) -> tuple[str, ...]:
    if inputs := eval_inputs(assets):
        return inputs
    raise InvalidStepError(
        what=f"Step {name!r} (EvalStep) has no data",
        why="no step or external input is named `predictions` and `targets`, or `data`",
        fix="name the outputs so, or pass a dict with both: "
        'step(name="evaluation", inputs=["scored"])(EvalStep(…))',
    )


def _notes(flowyml_step: Any) -> Iterator[str]:
    """Yield what a class of steps declares, but neither FlowyML nor this package calls or reads."""
    config = getattr(flowyml_step, "map_config", None)
    if config is not None:
        if config.timeout_per_item is not None:
            yield f"step {flowyml_step.name!r}: FlowyML ignores timeout_per_item, and so do jobs"
    elif (
        isinstance(flowyml_step, FlowymlStep)
        and type(flowyml_step).__call__ is not FlowymlStep.__call__
    ):
        kind = type(flowyml_step).__name__
        yield (
            f"step {flowyml_step.name!r}: its function is called, as by FlowyML, and not "
            f"{kind}.__call__"
        )


def _without_untaken_inputs(
    declared: Step, assets: Collection[str], context: Collection[str]
) -> Step:
    """Return the step with the inputs that no parameter takes as `after`.

    FlowyML drops the value of such an input: it only decides the order.
    """
    if not callable(declared.condition) and declared.condition is not None:
        return declared  # reported with the other mistakes of the pipeline
    bound = bind_step(declared, assets, context)
    if not bound.untaken:
        return declared
    inputs = tuple(asset for asset in declared.inputs if asset not in bound.untaken)
    names = ", ".join(map(repr, bound.untaken))
    note = f"no parameter of step {declared.name!r} takes {names}, which only decides its order"
    ordered = replace(declared, inputs=inputs, after=bound.untaken, notes=(*declared.notes, note))
    if bind_step(ordered, assets, context).function.arguments != bound.function.arguments:
        raise UnsupportedFeatureError(
            what=f"Step {declared.name!r}: inputs without a parameter ({names}) are not supported",
            why="the other inputs are passed by their index in the list",
            fix="name each parameter like its input, or move these inputs to the end of the list",
        )
    return ordered


def _undeclared_inputs(
    func: Callable[..., Any],
    inputs: Sequence[str],
    assets: Collection[str],
    context: Collection[str],
) -> Iterator[str]:
    """Yield the assets that a function takes by parameter name without declaring them as inputs.

    FlowyML passes such an asset if it exists by the time the step starts. Here it is an input.
    """
    missing = bind(func, inputs, context).missing
    yield from (parameter for parameter in missing if parameter in assets)


def _assets_of(item: Any) -> Sequence[str]:
    name = getattr(item, "name", getattr(item, "__name__", ""))
    return getattr(item, "outputs", None) or (str(name),)


def _resources_of(flowyml_step: Any) -> ResourceRequirements | None:
    try:
        return requirements_of(flowyml_step.resources)
    except FlowymlError as error:
        what = f"Step {flowyml_step.name!r}: {error.what}"
        raise type(error)(what, error.why, error.fix) from None


def _unsupported_features(pipeline: Any) -> Iterator[UnsupportedFeatureError]:
    for flow in pipeline.control_flows:
        if is_supported_flow(flow):
            continue
        yield _not_supported(f"Control flow {type(flow).__name__!r}", _CONDITION)
    in_branches = list(branch_steps(pipeline.control_flows))
    for item in filter(is_sub_pipeline, in_branches):
        yield _not_supported(f"Sub-pipeline {item.name!r} in a branch", _CONDITION)
    for item in (*pipeline.steps, *filter(is_flowyml_step, in_branches)):
        kind = type(item).__name__
        if is_approval(item):
            yield from _unsupported_approval(item, [*pipeline.steps, *in_branches])
            continue
        if not is_flowyml_step(item):
            name = getattr(item, "name", getattr(item, "__name__", item))
            yield _not_supported(f"Step {name!r} ({kind})", _FUNCTION)
    if getattr(pipeline, "_resume_from_checkpoint", False):
        yield _not_supported(
            "Resuming from a checkpoint",
            "run the pipeline with a new run_id: unchanged steps are reused from earlier runs",
        )


def _unsupported_approval(item: Any, steps: Sequence[Any]) -> Iterator[UnsupportedFeatureError]:
    if item in (steps[0], steps[-1]):
        yield UnsupportedFeatureError(
            what=f"Approval {item.name!r} is not between other steps",
            why="the steps declared after it wait for it, and it waits for those before it",
            fix="declare it after the steps that it is about, and before those that need it",
        )


def _not_supported(feature: str, fix: str) -> UnsupportedFeatureError:
    return UnsupportedFeatureError(
        what=f"{feature} is not supported on AWS",
        why="all jobs are planned before the run starts, from steps with declared inputs",
        fix=fix,
    )
