"""Assets that steps in several branches of one decision produce, of which a run has one.

The steps of a graph keep the name of such an asset until the graph is complete. Then each of them
produces an asset of its own, `model:fit_large`, and a reader of `model` reads all of them. Its
argument is that of the branch that was taken. So each asset has exactly one producer everywhere
else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from flowyml_aws.core.arguments import Argument, Arguments
from flowyml_aws.core.binding import BoundCall, BoundStep
from flowyml_aws.core.errors import FlowymlError, InvalidStepError
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.run_view import Viewed
from flowyml_aws.core.step import Step

__all__ = ["asset_of_branch", "shared_name", "with_assets_of_branches"]


def asset_of_branch(asset: str, step: str) -> str:
    """Return the name that an asset of several branches has as that of one step."""
    return f"{asset}:{step}"


def shared_name(asset: str, step: str) -> str | None:
    """Return the name that the asset of a step shares with those of other branches, if it does."""
    suffix = asset_of_branch("", step)
    return asset.removesuffix(suffix) if asset.endswith(suffix) else None


def with_assets_of_branches(graph: StepGraph) -> tuple[StepGraph, list[FlowymlError]]:
    """Return the graph in which each asset has one producer, and the reads that are impossible.

    Args:
        graph: Graph of the declared steps, with gates instead of approvals.
    """
    if not graph.shared:
        return graph, []
    naming = _Naming(graph.shared)
    problems = [
        _without_branch(step, asset)
        for step in graph.steps
        for asset in _whole(step)
        if asset in graph.shared
    ]
    steps = tuple(map(naming.step, graph.steps))
    renamed = {step.name: step for step in steps}
    named = replace(
        graph,
        steps=steps,
        reads={name: naming.all_of(reads) for name, reads in graph.reads.items()},
        producers={asset: step.name for step in steps for asset in step.assets},
        bound={name: naming.bound(each, renamed[name]) for name, each in graph.bound.items()},
        gates={
            name: replace(gate, inputs=naming.all_of(gate.inputs))
            for name, gate in graph.gates.items()
        },
        shared={},
    )
    return named, problems


class _Naming:
    """Gives each asset of several branches the names of its producers.

    Args:
        shared: Steps that produce each of these assets.
    """

    def __init__(self, shared: Mapping[str, tuple[str, ...]]) -> None:
        self._shared = shared
        self._among = {
            asset: tuple(asset_of_branch(asset, step) for step in steps)
            for asset, steps in shared.items()
        }

    def all_of(self, assets: Iterable[str]) -> tuple[str, ...]:
        """Return assets with those of all branches for each asset that several ones produce."""
        found = (each for asset in assets for each in self._among.get(asset, (asset,)))
        return tuple(dict.fromkeys(found))

    def step(self, step: Step) -> Step:
        """Return a step with the names of its own assets, and of those that it reads."""
        inputs, outputs = self.all_of(step.inputs), step.outputs
        if any(step.name in self._shared.get(asset, ()) for asset in step.assets):
            outputs = tuple(self._of(asset, step.name) for asset in step.assets)
        if (inputs, outputs) == (step.inputs, step.outputs):
            return step
        return replace(step, inputs=inputs, outputs=outputs, unshared=step)

    def bound(self, bound: BoundStep, step: Step) -> BoundStep:
        """Return the arguments of a step, which take the asset of the branch that was taken."""
        condition = None if bound.condition is None else self._call(bound.condition)
        return replace(bound, step=step, function=self._call(bound.function), condition=condition)

    def _of(self, asset: str, step: str) -> str:
        return asset_of_branch(asset, step) if step in self._shared.get(asset, ()) else asset

    def _call(self, call: BoundCall) -> BoundCall:
        if self._among.keys().isdisjoint(call.arguments.assets):
            return call
        arguments = call.arguments
        return replace(
            call,
            arguments=Arguments(
                tuple(map(self._argument, arguments.positional)),
                {name: self._argument(each) for name, each in arguments.keywords.items()},
                None if arguments.view is None else self._view(arguments.view),
            ),
            by_parameter={name: self._argument(a) for name, a in call.by_parameter.items()},
        )

    def _argument(self, argument: Argument) -> Argument:
        if argument.source != "asset" or argument.name not in self._among:
            return argument
        return replace(argument, among=self._among[argument.name])

    def _view(self, view: Viewed) -> Viewed:
        """Return a view of the assets of the steps that it names."""
        steps = {
            step: {output: self._of_step(asset, step) for output, asset in outputs.items()}
            for step, outputs in view.steps.items()
        }
        return replace(view, steps=steps)

    def _of_step(self, asset: str, step: str) -> str:
        # In a sub-pipeline, a condition names a step without the path.
        names = (n for n in self._shared.get(asset, ()) if n == step or n.endswith(f"/{step}"))
        producer = next(names, None)
        return asset if producer is None else asset_of_branch(asset, producer)


def _whole(step: Step) -> tuple[str, ...]:
    """Return the assets that a step can read only if they have one producer."""
    mapped = () if step.mapping is None else step.mapping.over
    return mapped if step.view is None else (*mapped, *step.view.assets.values())


def _without_branch(step: Step, asset: str) -> FlowymlError:
    return InvalidStepError(
        what=f"Step {step.name!r} can't read {asset!r}, which several branches produce",
        why="a map needs a list of one step, and a view names the step of an asset",
        fix="let a step after the branches return the value, and read the asset of that step",
    )
