"""Graphs in which approvals are gates between steps instead of steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from flowyml_aws.core.approvals import Gate
from flowyml_aws.core.binding import BoundCall, BoundStep
from flowyml_aws.core.branches import THEN
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.step import Step

__all__ = ["with_gates", "without_open_gates"]


def with_gates(graph: StepGraph) -> StepGraph:
    """Return the graph without the steps that are approvals, and with their gates.

    A step that reads an approval reads its first input instead. The steps that an approval waits
    for are parents of the steps that wait for it. They are not in `after`, so that an approval
    changes no cache key.
    """
    if all(step.approval is None for step in graph.steps):
        return graph
    return _Gating(graph).graph()


def without_open_gates(graph: StepGraph, cases: Mapping[str, str]) -> StepGraph:
    """Return the graph without the gates whose condition is known to hold.

    Args:
        graph: Graph of the steps that run.
        cases: Case of each decision that is known.
    """
    opened = {
        name
        for name, gate in graph.gates.items()
        if gate.rule.decision is not None and cases.get(gate.rule.decision) == THEN
    }
    if not opened:
        return graph

    def closed(names: Iterable[str]) -> tuple[str, ...]:
        return tuple(name for name in names if name not in opened)

    gates = {
        name: replace(gate, approvals=closed(gate.approvals))
        for name, gate in graph.gates.items()
        if name not in opened
    }
    gated = {step: names for step, each in graph.gated.items() if (names := closed(each))}
    return replace(graph, gates=gates, gated=gated)


class _Gating:
    def __init__(self, graph: StepGraph) -> None:
        self._graph = graph
        self._gates: dict[str, Gate] = {}
        self._values: dict[str, str] = {}
        self._rank = {step.name: number for number, step in enumerate(graph.steps)}
        for step in graph.steps:  # in running order: an approval can wait for another one
            if step.approval is None:
                continue
            inputs = self._renamed(step.inputs)
            self._gates[step.name] = Gate(
                rule=step.approval,
                inputs=inputs,
                after=self._parents(step.name),
                approvals=self._awaited(step.name),
            )
            if inputs:
                self._values[step.assets[0]] = inputs[0]

    def graph(self) -> StepGraph:
        """Return the graph with gates."""
        old = self._graph
        steps = {step.name: self._step(step) for step in old.steps if step.name not in self._gates}
        awaited = {name: self._awaited(name) for name in steps}
        return replace(
            old,
            steps=tuple(steps.values()),
            parents={name: self._parents(name) for name in steps},
            reads={name: self._renamed(old.reads[name]) for name in steps},
            producers={a: step for a, step in old.producers.items() if step in steps},
            bound={name: self._bound(old.bound[name], step) for name, step in steps.items()},
            after={
                name: kept
                for name, parents in old.after.items()
                if name in steps and (kept := tuple(p for p in parents if p in steps))
            },
            gates=self._gates,
            gated={name: gates for name, gates in awaited.items() if gates},
        )

    def _awaited(self, step: str) -> tuple[str, ...]:
        return tuple(p for p in self._graph.parents[step] if p in self._gates)

    def _parents(self, step: str) -> tuple[str, ...]:
        """Return the parents of a step, with those of an approval instead of the approval."""
        parents: set[str] = set()
        for parent in self._graph.parents[step]:
            parents.update(self._gates[parent].after if parent in self._gates else (parent,))
        return tuple(sorted(parents, key=self._rank.__getitem__))

    def _renamed(self, assets: Iterable[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self._values.get(asset, asset) for asset in assets))

    def _step(self, step: Step) -> Step:
        if self._values.keys().isdisjoint(step.inputs):
            return step
        return replace(step, inputs=self._renamed(step.inputs))

    def _bound(self, bound: BoundStep, step: Step) -> BoundStep:
        if self._values.keys().isdisjoint(bound.reads):
            return bound
        condition = None if bound.condition is None else _renamed(bound.condition, self._values)
        function = _renamed(bound.function, self._values)
        return replace(bound, step=step, function=function, condition=condition)


def _renamed(call: BoundCall, names: Mapping[str, str]) -> BoundCall:
    by_parameter = {
        parameter: replace(argument, name=names.get(argument.name, argument.name))
        if argument.source == "asset"
        else argument
        for parameter, argument in call.by_parameter.items()
    }
    return replace(call, arguments=call.arguments.with_assets(names), by_parameter=by_parameter)
