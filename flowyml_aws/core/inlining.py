"""Inlining: the steps of sub-pipelines become steps of the pipeline that contains them.

The step `clean` of the sub-pipeline `prepare` becomes `prepare/clean`, its asset `rows` becomes
`prepare/rows`, its execution group `g` becomes `prepare/g`, and its context value `rate` becomes
`prepare/rate`. Exposed assets have the names that the pipeline gives them. All later parts
(binding, grouping, caching, planning, jobs) see steps only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from flowyml_aws.core.connections import Connections
from flowyml_aws.core.control_flow import AddedFlow
from flowyml_aws.core.environment import environment_problems, merge_environments
from flowyml_aws.core.errors import FlowymlError, InvalidSubPipelineError
from flowyml_aws.core.lowering import lower
from flowyml_aws.core.secret_references import secret_problems
from flowyml_aws.core.step import Scope, Step
from flowyml_aws.core.sub_pipelines import DeclaredPipeline, Inlined, SubPipeline

__all__ = ["inline"]


def inline(
    pipeline: DeclaredPipeline,
    around: tuple[DeclaredPipeline, ...] = (),
    inputs: Collection[str] = (),
    context: Collection[str] = (),
) -> Inlined:
    """Return the steps of a pipeline with those of its sub-pipelines and of its control flows.

    Args:
        pipeline: The pipeline.
        around: Pipelines that contain it, from the outermost.
        inputs: Names of external inputs.
        context: Names of context values that are not those of the pipeline.
    """
    names_in_context = {*context, *pipeline.context}
    if not pipeline.sub_pipelines:
        own, mistakes = lower(pipeline.steps, pipeline.added_flows, inputs, names_in_context)
        context_values = dict(pipeline.context)
        return Inlined(own, context_values, pipeline.carry, pipeline.evaluate, tuple(mistakes))
    steps: list[Step] = []
    values = dict(pipeline.context)
    inner_steps: list[tuple[int, int]] = []  # position of a sub-pipeline, and number of its steps
    carry, evaluate = list(pipeline.carry), list(pipeline.evaluate)
    problems: list[FlowymlError] = []
    members: dict[str, tuple[str, ...]] = {}
    start = 0
    for sub in pipeline.sub_pipelines:
        steps += pipeline.steps[start : sub.position]
        start = sub.position
        path = (*around, pipeline)
        if any(sub.pipeline is each for each in path):
            problems.append(_recursion(path, sub.pipeline))
            continue
        if sub.name in members:
            problems.append(_duplicate(pipeline, sub))
            continue
        content = inline(sub.pipeline, path, _possible_inputs(sub), names_in_context)
        connections = Connections(sub, content)
        inner = _Inliner(sub, content, connections.assets).steps
        steps += inner
        inner_steps.append((sub.position, len(inner)))
        members[sub.name] = tuple(step.name for step in inner)
        values.update((f"{sub.name}/{name}", value) for name, value in content.context.items())
        carry += content.carry
        evaluate += content.evaluate
        problems += (*content.problems, *connections.problems())
    steps += pipeline.steps[start:]
    flows = [_moved(added, inner_steps) for added in pipeline.added_flows]
    lowered, mistakes = lower(steps, flows, inputs, names_in_context)
    problems += mistakes
    names = {name for step in lowered for name in (step.name, *step.assets)}
    units = {name: steps_of for name, steps_of in members.items() if name not in names}
    return Inlined(
        tuple(_with_units(step, units) for step in lowered),
        values,
        tuple(dict.fromkeys(carry)),
        tuple(dict.fromkeys(evaluate)),
        tuple(problems),
    )


def _moved(added: AddedFlow, inner_steps: Iterable[tuple[int, int]]) -> AddedFlow:
    """Return a control flow with its position among all steps, those of sub-pipelines included."""
    before = sum(number for position, number in inner_steps if position <= added.position)
    return replace(added, position=added.position + before)


def _possible_inputs(sub: SubPipeline) -> set[str]:
    """Return the names that can be inputs of a sub-pipeline."""
    flows = (added.flow for added in sub.pipeline.added_flows)
    in_branches = (each for flow in flows for case in flow.cases for each in case.steps)
    steps = (*sub.pipeline.steps, *(each for each in in_branches if isinstance(each, Step)))
    of_steps = (name for step in steps for name in step.inputs)
    return {*sub.inputs, *sub.input_mapping.values(), *of_steps}


def _with_units(step: Step, units: Mapping[str, tuple[str, ...]]) -> Step:
    """Return a step that waits for all steps of each sub-pipeline that it names in `after`."""
    if units.keys().isdisjoint(step.after):
        return step
    awaited = [name for each in step.after for name in units.get(each, (each,))]
    return replace(step, after=tuple(dict.fromkeys(awaited)))


class _Inliner:
    """Gives the steps of a sub-pipeline the names that they have in the pipeline around it.

    Args:
        sub: The sub-pipeline.
        content: Its steps, with those of its own sub-pipelines.
        assets: Asset or input of the sub-pipeline → its name in the pipeline around it.
    """

    def __init__(self, sub: SubPipeline, content: Inlined, assets: Mapping[str, str]) -> None:
        self._sub, self._content, self._assets = sub, content, assets
        self._own_names = _inverse(assets)
        self._names = {step.name for step in content.steps}
        # Invalid variables are reported once, as those of the sub-pipeline.
        self._env = _valid(sub.pipeline.env, environment_problems(sub.pipeline.env, ""))
        self._secrets = _valid(sub.pipeline.secrets, secret_problems(sub.pipeline.secrets, {}, ""))
        self._of_inner: dict[int, tuple[Mapping[str, str], Mapping[str, str]]] = {}

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps as the pipeline around runs them."""
        return tuple(map(self._step, self._content.steps))

    def _step(self, step: Step) -> Step:
        sub = self._sub
        mapping, group, branch = step.mapping, step.execution_group, step.branch
        rule = step.approval
        if mapping is not None:
            mapping = replace(mapping, over=self._renamed(mapping.over))
        return replace(
            step,
            # A decision and its asset have one name, also if the asset is exposed.
            name=self._assets[step.name] if step.cases else f"{sub.name}/{step.name}",
            inputs=self._renamed(step.inputs),
            outputs=self._renamed(step.assets),
            after=(*map(self._awaited, step.after), *sub.after),
            execution_group=f"{sub.name}/{group}" if group else group,
            env=_with_variables(self._env, step.env, (self._secrets, step.secrets)),
            secrets=_with_variables(self._secrets, step.secrets, (step.env,)),
            cache=step.cache if sub.pipeline.enable_cache else False,
            cache_explicit=step.cache_explicit and sub.pipeline.enable_cache,
            cache_on=step.cache_on if sub.pipeline.enable_cache else (),
            mapping=mapping,
            branch=None
            if branch is None
            else replace(branch, decision=self._assets[branch.decision]),
            approval=rule
            if rule is None or rule.decision is None
            else replace(rule, decision=self._assets[rule.decision]),
            view=None if step.view is None else step.view.renamed(self._assets, {}),
            scope=self._scope(step),
        )

    def _renamed(self, assets: Iterable[str]) -> tuple[str, ...]:
        return tuple(self._assets.get(asset, asset) for asset in assets)

    def _awaited(self, name: str) -> str:
        is_step = name in self._names and name not in self._assets
        return f"{self._sub.name}/{name}" if is_step else self._assets.get(name, name)

    def _scope(self, step: Step) -> Scope:
        """Return the scope of a step, which is that of an inner sub-pipeline if it has one."""
        name, cache_on = self._sub.name, self._sub.pipeline.cache_on
        inner = step.scope
        if inner is None:
            return Scope(name, step, self._assets, self._own_names, cache_on)
        key = id(inner.assets)  # the steps of one sub-pipeline share it
        if key not in self._of_inner:
            assets = {own: self._assets[outer] for own, outer in inner.assets.items()}
            self._of_inner[key] = assets, _inverse(assets)
        path, additions = f"{name}/{inner.path}", (*cache_on, *inner.cache_on)
        return Scope(path, inner.step, *self._of_inner[key], additions)


def _inverse(names: Mapping[str, str]) -> dict[str, str]:
    return {name: own for own, name in names.items()}


def _valid(
    variables: Mapping[str, str] | None, problems: Sequence[FlowymlError]
) -> Mapping[str, str]:
    return {} if variables is None or problems else variables


def _with_variables(
    of_pipeline: Mapping[str, str], of_step: Mapping[str, str], others: Iterable[object]
) -> Mapping[str, str]:
    """Return the variables of a step with those of its pipeline, except those that it overrides."""
    if not of_pipeline or not isinstance(of_step, Mapping):
        return of_step  # an invalid mapping of the step is reported with its other mistakes
    overridden = merge_environments(*others)
    inherited = {name: each for name, each in of_pipeline.items() if name not in overridden}
    return {**inherited, **of_step}


def _recursion(
    around: Sequence[DeclaredPipeline], pipeline: DeclaredPipeline
) -> InvalidSubPipelineError:
    names = [each.name for each in around]
    cycle = [*names[[each is pipeline for each in around].index(True) :], pipeline.name]
    return InvalidSubPipelineError(
        what=f"Pipeline {pipeline.name!r} contains itself: {' → '.join(cycle)}",
        why="the steps of a sub-pipeline are steps of the pipeline, which would never end",
        fix="remove one of these sub-pipelines",
    )


def _duplicate(pipeline: DeclaredPipeline, sub: SubPipeline) -> InvalidSubPipelineError:
    return InvalidSubPipelineError(
        what=f"Pipeline {pipeline.name!r} has two sub-pipelines {sub.name!r}",
        why="their steps would have the same names",
        fix=f"name one of them: add_sub_pipeline(…, name={f'{sub.name}_2'!r})",
    )
