"""Connections of a sub-pipeline: the names of its assets in the pipeline that contains it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from flowyml_aws.core.additions import addition_problems
from flowyml_aws.core.environment import environment_problems
from flowyml_aws.core.errors import FlowymlError, InvalidSubPipelineError
from flowyml_aws.core.secret_references import secret_problems
from flowyml_aws.core.signatures import parameters_of
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.core.step import Step
from flowyml_aws.core.sub_pipelines import Inlined, SubPipeline

__all__ = ["Connections"]


class Connections:
    """The connections of a sub-pipeline, and the mistakes in its declaration.

    Args:
        sub: The sub-pipeline.
        content: Its steps, with those of its own sub-pipelines.

    Attributes:
        assets: Asset or input of the sub-pipeline → its name in the pipeline that contains it.
    """

    def __init__(self, sub: SubPipeline, content: Inlined) -> None:
        self._sub, self._content = sub, content
        steps = content.steps
        names = {step.name for step in steps}
        self._produced = {asset: step.name for step in steps for asset in step.assets}
        self._read = _assets_read(steps, self._produced)
        awaited = (name for step in steps for name in step.after if name not in names)
        external = (name for name in (*self._read, *awaited) if name not in self._produced)
        self._inputs = dict.fromkeys(external)
        # A condition takes an input by the name of its parameter, without declaring it.
        self._of_conditions = {
            name
            for name in _condition_parameters(step for step in steps if step.scope is None)
            if name not in self._produced and name not in self._inputs
        }
        self.assets: Mapping[str, str] = {**self._output_names(), **self._input_names()}

    def _output_names(self) -> dict[str, str]:
        exposed, name = self._exposed(), self._sub.name
        return {asset: exposed.get(asset, f"{name}/{asset}") for asset in self._produced}

    def _exposed(self) -> dict[str, str]:
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
        decisions = {asset for step in self._content.steps if step.cases for asset in step.assets}
        return {asset: asset for asset in produced if asset not in read | decisions}

    def _asset(self, key: str) -> str:
        """Return the asset that a key means: an asset, or a step with one output."""
        if key in self._produced:
            return key
        outputs = [asset for asset, step in self._produced.items() if step == key]
        return outputs[0] if len(outputs) == 1 else key

    def _input_names(self) -> dict[str, str]:
        sub = self._sub
        sources = {name: source for source, name in sub.input_mapping.items()}
        optional = self._of_conditions.intersection((*sources, *sub.inputs))
        lists = _possible_lists(self._content.steps)
        in_context = lists.intersection(self._content.context).difference(sources)
        return {
            name: f"{sub.name}/{name}" if name in in_context else sources.get(name, name)
            for name in (*self._inputs, *sorted(optional))
        }

    def problems(self) -> Iterator[FlowymlError]:
        """Yield an error for each mistake in the declaration of the sub-pipeline."""
        sub, pipeline = self._sub, self._sub.pipeline
        owner = f"sub-pipeline {sub.name!r}"
        yield from environment_problems(pipeline.env, owner)
        yield from secret_problems(pipeline.secrets, pipeline.env, owner)
        yield from addition_problems(pipeline.cache_on, f"Sub-pipeline {sub.name!r}")
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


def _assets_read(steps: Sequence[Step], producers: Mapping[str, str]) -> dict[str, None]:
    """Return the assets that steps read, in order."""
    read = dict.fromkeys(name for step in steps for name in step.inputs)
    parameters = _condition_parameters(step for step in steps if step.scope is None)
    read |= dict.fromkeys(name for name in parameters if name in producers)
    # Conditions of inner sub-pipelines read the inputs of these, too.
    for path, scope in {s.scope.path: s.scope for s in steps if s.scope is not None}.items():
        names, own = scope.assets.values(), f"{path}/"
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


def _error(sub: SubPipeline, what: str, why: str, fix: str) -> InvalidSubPipelineError:
    return InvalidSubPipelineError(f"Sub-pipeline {sub.name!r}: {what}", why, fix)
