"""Sub-pipelines: pipelines whose steps become steps of the pipeline that contains them.

The step `clean` of the sub-pipeline `prepare` becomes `prepare/clean`, its asset `rows` becomes
`prepare/rows`, its execution group `g` becomes `prepare/g`, and its context value `rate` becomes
`prepare/rate`. Exposed assets have the names that the pipeline gives them. All later parts
(binding, grouping, caching, planning, jobs) see steps only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from flowyml_aws.core.additions import addition_problems
from flowyml_aws.core.environment import environment_problems, merge_environments
from flowyml_aws.core.errors import FlowymlError, InvalidSubPipelineError
from flowyml_aws.core.secret_references import secret_problems
from flowyml_aws.core.signatures import parameters_of
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.core.step import Scope, Step

__all__ = ["DeclaredPipeline", "Inlined", "SubPipeline", "inline"]


class DeclaredPipeline(Protocol):
    """A pipeline as its user declared it; see `Pipeline`."""

    @property
    def name(self) -> str: ...
    @property
    def steps(self) -> Sequence[Step]: ...
    @property
    def sub_pipelines(self) -> Sequence[SubPipeline]: ...
    @property
    def context(self) -> Mapping[str, Any]: ...
    @property
    def env(self) -> Mapping[str, str] | None: ...
    @property
    def secrets(self) -> Mapping[str, str] | None: ...
    @property
    def carry(self) -> tuple[str, ...]: ...
    @property
    def evaluate(self) -> tuple[str, ...]: ...
    @property
    def cache_on(self) -> tuple[Any, ...]: ...


@dataclass(frozen=True, slots=True)
class SubPipeline:
    """A pipeline in another one. See `Pipeline.add_sub_pipeline`.

    Attributes:
        pipeline: The pipeline.
        position: Number of steps that the other pipeline declares before it.
        name: Name in the other pipeline.
        inputs: Inputs that are connected to the asset, input or context value of the same name.
        outputs: Assets that keep their names in the other pipeline.
        input_mapping: Asset, input or context value of the other pipeline → input.
        output_mapping: Asset → its name in the other pipeline.
    """

    pipeline: DeclaredPipeline
    position: int
    name: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    input_mapping: Mapping[str, str] = field(default_factory=dict)
    output_mapping: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name or "/" in self.name:
            raise InvalidSubPipelineError(
                what=f"Invalid name {self.name!r} of a sub-pipeline",
                why="its steps are named NAME/STEP, so the name is a non-empty string without '/'",
                fix='write for example add_sub_pipeline(…, name="prepare")',
            )


@dataclass(frozen=True, slots=True)
class Inlined:
    """The steps of a pipeline with those of its sub-pipelines, in declaration order.

    Attributes:
        context: Its context, with the values of the sub-pipelines: `prepare/rate`.
        carry, evaluate: Names of the pipeline and its sub-pipelines; see `Pipeline`.
        problems: An error for each mistake in the declarations of sub-pipelines.
    """

    steps: tuple[Step, ...]
    context: Mapping[str, Any]
    carry: tuple[str, ...] = ()
    evaluate: tuple[str, ...] = ()
    problems: tuple[FlowymlError, ...] = ()


def inline(pipeline: DeclaredPipeline, around: tuple[DeclaredPipeline, ...] = ()) -> Inlined:
    """Return the steps of a pipeline with those of its sub-pipelines.

    Args:
        pipeline: The pipeline.
        around: Pipelines that contain it, from the outermost.
    """
    if not pipeline.sub_pipelines:
        return Inlined(
            tuple(pipeline.steps), dict(pipeline.context), pipeline.carry, pipeline.evaluate
        )
    steps: list[Step] = []
    context = dict(pipeline.context)
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
        content = inline(sub.pipeline, path)
        inliner = _Inliner(sub, content)
        steps += inliner.steps
        members[sub.name] = tuple(step.name for step in inliner.steps)
        context.update((f"{sub.name}/{name}", value) for name, value in content.context.items())
        carry += content.carry
        evaluate += content.evaluate
        problems += (*content.problems, *inliner.problems())
    steps += pipeline.steps[start:]
    names = {name for step in steps for name in (step.name, *step.assets)}
    units = {name: steps_of for name, steps_of in members.items() if name not in names}
    return Inlined(
        tuple(_with_units(step, units) for step in steps),
        context,
        tuple(dict.fromkeys(carry)),
        tuple(dict.fromkeys(evaluate)),
        tuple(problems),
    )


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
    """

    def __init__(self, sub: SubPipeline, content: Inlined) -> None:
        self._sub, self._content = sub, content
        steps = content.steps
        self._steps = {step.name for step in steps}
        self._produced = {asset: step.name for step in steps for asset in step.assets}
        self._read = _assets_read(steps, self._produced)
        awaited = (name for step in steps for name in step.after if name not in self._steps)
        external = (name for name in (*self._read, *awaited) if name not in self._produced)
        self._inputs = dict.fromkeys(external)
        # A condition takes an input by the name of its parameter, without declaring it.
        self._of_conditions = {
            name
            for name in _condition_parameters(sub.pipeline.steps)
            if name not in self._produced and name not in self._inputs
        }
        self._sources = {name: source for source, name in sub.input_mapping.items()}
        self._exposed = self._exposed_names()
        self._assets = self._names()
        self._own_names = _inverse(self._assets)
        self._of_inner: dict[int, tuple[Mapping[str, str], Mapping[str, str]]] = {}

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps as the pipeline around runs them."""
        return tuple(map(self._step, self._content.steps))

    def _exposed_names(self) -> dict[str, str]:
        """Return the exposed assets, with their names in the pipeline around."""
        sub, produced = self._sub, self._produced
        names = {self._asset(key): name for key, name in sub.output_mapping.items()}
        mapped = set(sub.output_mapping.values())
        names |= {self._asset(name): name for name in sub.outputs if name not in mapped}
        if sub.output_mapping or sub.outputs:
            return {asset: name for asset, name in names.items() if asset in produced}
        hidden = {
            asset
            for step in self._content.steps
            for asset in step.assets
            if step.scope is not None and asset.startswith(f"{step.scope.path}/")
        }
        read = self._read.keys() | hidden
        return {asset: asset for asset in produced if asset not in read}

    def _asset(self, key: str) -> str:
        """Return the asset that a key means: an asset, or a step with one output."""
        if key in self._produced:
            return key
        outputs = [asset for asset, step in self._produced.items() if step == key]
        return outputs[0] if len(outputs) == 1 else key

    def _names(self) -> dict[str, str]:
        """Return the name of each asset in the pipeline around."""
        sub = self._sub
        names = {asset: self._exposed.get(asset, f"{sub.name}/{asset}") for asset in self._produced}
        optional = self._of_conditions.intersection((*self._sources, *sub.inputs))
        lists = _possible_lists(self._content.steps)
        for name in (*self._inputs, *sorted(optional)):
            if name in self._sources:
                names[name] = self._sources[name]
            elif name in lists and name in self._content.context:
                names[name] = f"{sub.name}/{name}"
            else:
                names[name] = name
        return names

    def _step(self, step: Step) -> Step:
        sub, pipeline = self._sub, self._sub.pipeline
        mapping, group = step.mapping, step.execution_group
        if mapping is not None:
            mapping = replace(mapping, over=self._renamed(mapping.over))
        return replace(
            step,
            name=f"{sub.name}/{step.name}",
            inputs=self._renamed(step.inputs),
            outputs=self._renamed(step.assets),
            after=tuple(map(self._awaited, step.after)),
            execution_group=f"{sub.name}/{group}" if group else group,
            env=_with_variables(pipeline.env, step.env, (pipeline.secrets, step.secrets)),
            secrets=_with_variables(pipeline.secrets, step.secrets, (step.env,)),
            mapping=mapping,
            scope=self._scope(step),
        )

    def _renamed(self, assets: Iterable[str]) -> tuple[str, ...]:
        return tuple(self._assets.get(asset, asset) for asset in assets)

    def _awaited(self, name: str) -> str:
        is_step = name in self._steps and name not in self._assets
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

    def problems(self) -> Iterator[FlowymlError]:
        """Yield an error for each mistake in the declaration of the sub-pipeline."""
        sub, pipeline = self._sub, self._sub.pipeline
        owner = f"sub-pipeline {sub.name!r}"
        yield from environment_problems(pipeline.env, owner)
        yield from secret_problems(pipeline.secrets, pipeline.env, owner)
        yield from addition_problems(pipeline.cache_on, owner.capitalize())
        yield from self._unknown_inputs()
        yield from self._unknown_outputs()

    def _unknown_inputs(self) -> Iterator[FlowymlError]:
        sub, known = self._sub, [*self._inputs, *sorted(self._of_conditions)]
        sources: dict[str, str] = {}
        for source, name in sub.input_mapping.items():
            if name not in known:
                yield self._unknown("input_mapping", name, "input", known)
            elif name in sources:
                yield _error(
                    sub,
                    what=f"input_mapping connects {sources[name]!r} and {source!r} to {name!r}",
                    why="an input has one source",
                    fix="remove one of them",
                )
            sources[name] = source
        for name in sub.inputs:
            if name not in known and name not in sub.input_mapping:
                yield self._unknown(
                    "inputs", name, "input", known, f", or write input_mapping={{{name!r}: INPUT}}"
                )

    def _unknown_outputs(self) -> Iterator[FlowymlError]:
        sub, produced = self._sub, list(self._produced)
        names: dict[str, str] = {}
        for key, name in sub.output_mapping.items():
            if self._asset(key) not in produced:
                yield self._unknown("output_mapping", key, "asset", produced)
            elif name in names:
                yield _error(
                    sub,
                    what=f"output_mapping gives {names[name]!r} and {key!r} the name {name!r}",
                    why="an asset has exactly one source",
                    fix="use two names",
                )
            names[name] = key
        mapped = {self._asset(key): name for key, name in sub.output_mapping.items()}
        for name in sub.outputs:
            if name in names:
                continue
            if self._asset(name) not in produced:
                yield self._unknown("outputs", name, "asset", produced)
            elif (other := mapped.get(self._asset(name))) is not None:
                yield _error(
                    sub,
                    what=f"outputs has {name!r}, which output_mapping names {other!r}",
                    why="an asset has one name in the pipeline",
                    fix=f"remove it from one of them, or write {other!r} in outputs",
                )

    def _unknown(
        self, argument: str, name: str, kind: str, known: Collection[str], otherwise: str = ""
    ) -> InvalidSubPipelineError:
        return _error(
            self._sub,
            what=f"{argument} names {name!r}, which is not an {kind} of it",
            why=f"its {kind}s are {', '.join(known) or '(none)'}",
            fix=did_you_mean(name, known, f"name one of them{otherwise}"),
        )


def _inverse(names: Mapping[str, str]) -> dict[str, str]:
    return {name: own for own, name in names.items()}


def _with_variables(
    of_pipeline: object, of_step: Mapping[str, str], others: Iterable[object]
) -> Mapping[str, str]:
    """Return the variables of a step with those of its pipeline, except those that it overrides."""
    if not of_pipeline or not isinstance(of_step, Mapping):
        return of_step  # an invalid mapping of the step is reported with its other mistakes
    overridden = merge_environments(*others)
    variables = merge_environments(of_pipeline).items()
    return {**{name: each for name, each in variables if name not in overridden}, **of_step}


def _assets_read(steps: Sequence[Step], producers: Mapping[str, str]) -> dict[str, None]:
    """Return the assets that steps read, in order."""
    read = dict.fromkeys(name for step in steps for name in step.inputs)
    parameters = _condition_parameters(step for step in steps if step.scope is None)
    read |= dict.fromkeys(name for name in parameters if name in producers)
    for step in steps:
        if step.scope is not None:  # conditions of an inner sub-pipeline read its inputs, too
            own = f"{step.scope.path}/"
            names = step.scope.assets.values()
            read |= dict.fromkeys(n for n in names if not producers.get(n, "").startswith(own))
    return read


def _condition_parameters(steps: Iterable[Step]) -> Iterator[str]:
    for step in steps:
        if callable(step.condition):
            parameters = parameters_of(step.condition) or ()
            yield from (each.name for each in parameters if each.is_named)


def _possible_lists(steps: Sequence[Step]) -> set[str]:
    """Return the assets that can be context values: lists, and inputs of sub-pipelines."""
    return {
        name
        for step in steps
        for name in (
            step.inputs if step.scope is not None else step.mapping.over if step.mapping else ()
        )
    }


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


def _error(sub: SubPipeline, what: str, why: str, fix: str) -> InvalidSubPipelineError:
    return InvalidSubPipelineError(f"Sub-pipeline {sub.name!r}: {what}", why, fix)
