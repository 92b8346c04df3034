"""Expansion of mapped steps into the steps of their items.

The graph of a pipeline with maps has one step for each item: `train[3]` reads `shards[3]` and
produces `model[3]`. All later parts (caching, planning, jobs) see steps only. A step that reads an
asset of all items has the assets of the items in `reads`, and the name of the whole in its
arguments; `StepGraph.gathered` connects both.

A map over a list that a step of the graph produces has parts instead of items: `train{1/8}` reads
the whole list, and its job expands it into the items of its slice (`runtime/parts.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from flowyml_aws.core.approvals import Gate
from flowyml_aws.core.domains import Place, find_places
from flowyml_aws.core.errors import DuplicateAssetError, FlowymlError, InvalidStepError
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.item_steps import BoundItems, MapSize, Template
from flowyml_aws.core.maps import EarlierLength, is_list, item_name, list_advice
from flowyml_aws.core.step import Step
from flowyml_aws.core.step_grouping import StepGroup

__all__ = ["Expansion", "expand"]

Values = Mapping[str, Any]

_MOST_PARTS = 100
"""Largest number of parts of a map, unless its step declares the number of items per job."""


@dataclass(frozen=True, slots=True)
class Expansion:
    """A graph in which each item of a mapped step is a step.

    Attributes:
        graph: The expanded graph.
        groups: Groups of the expanded graph; all items of mapped steps are in one group.
        values: Values of the external inputs of items, if they are known.
        length_runs: Run that had the assumed number of items, by mapped step.
    """

    graph: StepGraph
    groups: tuple[StepGroup, ...]
    values: Values = field(default_factory=dict)
    length_runs: Mapping[str, str] = field(default_factory=dict)


def expand(
    graph: StepGraph,
    groups: Sequence[StepGroup],
    values: Values,
    earlier: Mapping[str, EarlierLength] = MappingProxyType({}),
) -> tuple[Expansion | None, list[FlowymlError]]:
    """Expand the mapped steps of a graph. Return None and all mistakes if there are any.

    Args:
        graph: Graph of the declared steps.
        groups: Their groups; the steps of a mapped group are in one stage of one domain.
        values: Values of lists by name, if known.
        earlier: Numbers of items of mapped steps in earlier runs, for lists that steps of the graph
            produce, and for which no step expects a number.
    """
    mapped = [step for step in graph.steps if step.mapping is not None]
    if not mapped:
        return Expansion(graph, tuple(groups)), []
    places = find_places(graph.steps, graph.reads, graph.producers)
    assumed = _assumed(mapped, places, earlier)
    lengths, in_parts, problems = _lengths(mapped, places, graph, values, assumed)
    problems += _name_conflicts(mapped, graph)
    if problems:
        return None, problems
    sizes = {
        domain: MapSize(length, _part_count(mapped, places, domain, length))
        if domain in in_parts
        else MapSize(length)
        for domain, length in lengths.items()
    }
    expander = _Expander(graph, {name: sizes[place.domain] for name, place in places.items()})
    new_groups = tuple(group for group in map(expander.group, groups) if group.steps)
    steps = tuple(step for group in new_groups for step in group.steps)
    length_runs = {
        name: assumed[place.domain].run_id
        for name, place in places.items()
        if place.domain in assumed.keys() & in_parts
    }
    return Expansion(expander.graph(steps), new_groups, expander.values(values), length_runs), []


def _assumed(
    mapped: Sequence[Step], places: Mapping[str, Place], earlier: Mapping[str, EarlierLength]
) -> dict[int, EarlierLength]:
    """Return the largest number of earlier items of each domain without an expected number."""
    expected = {places[s.name].domain for s in mapped if s.mapping and s.mapping.expect is not None}
    lengths: dict[int, EarlierLength] = {}
    for step in mapped:
        domain, length = places[step.name].domain, earlier.get(step.name)
        if length is not None and domain not in expected:
            lengths[domain] = max(length, lengths.get(domain, length), key=lambda each: each.items)
    return lengths


def _lengths(
    mapped: Sequence[Step],
    places: Mapping[str, Place],
    graph: StepGraph,
    values: Values,
    assumed: Mapping[int, EarlierLength],
) -> tuple[dict[int, int], set[int], list[FlowymlError]]:
    """Return the number of items of each domain, and the domains for which it is an assumption.

    These are the domains of lists that steps of the graph produce.
    """
    found: dict[int, dict[str, int]] = {}
    produced: dict[int, tuple[str, str]] = {}
    expected: dict[int, int] = {}
    problems: list[FlowymlError] = []
    for step in mapped:
        mapping, domain = step.mapping, places[step.name].domain
        assert mapping is not None
        known = found.setdefault(domain, {})
        if mapping.expect is not None:
            expected[domain] = max(mapping.expect, expected.get(domain, 0))
        if mapping.rows is not None:
            known[f"the rows of {step.name!r}"] = len(mapping.rows)
        for name in mapping.over:
            producer = graph.producers.get(name)
            if producer in places:
                continue
            if producer is not None:
                produced.setdefault(domain, (name, producer))
            elif name in values:
                if not is_list(values[name]):
                    problems.append(_no_list(step.name, name, values[name]))
                else:
                    known[repr(name)] = len(values[name])
    for domain in produced.keys() & assumed.keys():
        expected[domain] = max(1, assumed[domain].items)
    lengths: dict[int, int] = {}
    for step in mapped:
        domain = places[step.name].domain
        known = found[domain]
        if domain in produced:
            if domain not in lengths and (known or domain not in expected):
                name, producer = produced[domain]
                problems.append(
                    _mixed_lists(step.name, name, producer, known)
                    if known
                    else _produced_list(step.name, name, producer)
                )
            lengths[domain] = expected.get(domain, 0)
        elif len(set(known.values())) > 1:
            if domain not in lengths:
                problems.append(_different_lengths(step.name, known))
            lengths[domain] = 0
        elif known:
            lengths[domain] = next(iter(known.values()))
        elif domain in expected:
            lengths[domain] = expected[domain]
        elif domain not in lengths:
            lengths[domain] = 0
            if not problems:
                problems.append(_unknown_length(step))
    return lengths, set(produced), problems


def _part_count(
    mapped: Sequence[Step], places: Mapping[str, Place], domain: int, length: int
) -> int:
    """Return the number of parts of a domain with an assumed number of items."""
    mappings = [s.mapping for s in mapped if s.mapping and places[s.name].domain == domain]
    declared = [m.items_per_job for m in mappings if m.items_per_job is not None]
    return math.ceil(length / min(declared)) if declared else min(length, _MOST_PARTS)


def _name_conflicts(mapped: Sequence[Step], graph: StepGraph) -> list[FlowymlError]:
    """Return an error for each declared name that an item would have."""
    names = {step.name for step in graph.steps} | graph.producers.keys() | graph.external_inputs
    prefixes = {f"{name}[" for step in mapped for name in (step.name, *step.assets)}
    return [
        DuplicateAssetError(
            what=f"The name {name!r} is that of an item",
            why=f"the items of a mapped step and of its outputs are {name.partition('[')[0]}[0], "
            f"{name.partition('[')[0]}[1], …",
            fix=f"rename {name!r}",
        )
        for name in sorted(names)
        if name.endswith("]") and f"{name.partition('[')[0]}[" in prefixes
    ]


class _Expander:
    """Makes the steps of items.

    Args:
        graph: Graph of the declared steps.
        sizes: Number of items of each mapped step.
    """

    def __init__(self, graph: StepGraph, sizes: Mapping[str, MapSize]) -> None:
        self._graph = graph
        self._sizes = sizes
        self._gathered: dict[str, tuple[str, ...]] = {
            asset: size.names(asset)
            for name, size in sizes.items()
            for asset in graph.bound[name].step.assets
        }
        self._templates: dict[str, Template] = {}
        self._reads: dict[str, tuple[str, ...]] = {}

    def group(self, group: StepGroup) -> StepGroup:
        """Return a group with the items of its steps, item by item."""
        first = group.steps[0].name
        if first not in self._sizes:
            for step in group.steps:
                self._reads[step.name] = self._flat(self._graph.reads[step.name])
            return group
        templates = [self._template(step.name) for step in group.steps]
        items = []
        for index in range(self._sizes[first].steps):
            for template in templates:
                step, reads = template.item(index)
                self._reads[step.name] = reads
                items.append(step)
        return replace(group, steps=tuple(items))

    def _template(self, name: str) -> Template:
        bound = self._graph.bound[name]
        whole = {asset: self._flat([asset]) for asset in bound.reads}
        template = Template(bound, self._sizes[name], self._gathered, whole)
        self._templates[name] = template
        return template

    def _flat(self, assets: Sequence[str]) -> tuple[str, ...]:
        """Return assets with those of the items for each asset that all items produce."""
        names: list[str] = []
        for asset in assets:
            names += self._gathered.get(asset, (asset,))
        return tuple(names)

    def graph(self, steps: Sequence[Step]) -> StepGraph:
        """Return the expanded graph."""
        old = self._graph
        producers = {asset: step.name for step in steps for asset in step.assets}
        ranks = {step.name: number for number, step in enumerate(steps)}
        after: dict[str, tuple[str, ...]] = {}
        gates = {name: self._gate(gate) for name, gate in old.gates.items()}
        gated: dict[str, tuple[str, ...]] = {}
        parents: dict[str, tuple[str, ...]] = {}
        for step in steps:
            found = {producers[a] for a in self._reads[step.name] if a in producers}
            if waits := old.after.get(step.declared_name):
                awaited = tuple(item for name in waits for item in self._items_of_step(name))
                after[step.name] = awaited
                found.update(awaited)
            if step.declared_name in old.gated:
                gated[step.name] = old.gated[step.declared_name]
                gates_after = (gates[gate].after for gate in gated[step.name])
                found.update(name for names in gates_after for name in names)
            parents[step.name] = tuple(sorted(found, key=ranks.__getitem__))
        declared: dict[str, str] = {}
        for template in self._templates.values():
            declared.update(template.declared)
        return StepGraph(
            steps=tuple(steps),
            parents=parents,
            reads=self._reads,
            producers=producers,
            external_inputs=frozenset(
                asset for reads in self._reads.values() for asset in reads if asset not in producers
            )
            | {asset for asset in old.external_inputs if asset not in self._lists},
            bound=BoundItems(steps, old.bound, self._templates),
            after=after,
            gathered=self._gathered,
            declared=declared,
            gates=gates,
            gated=gated,
        )

    def _gate(self, gate: Gate) -> Gate:
        items = (item for name in gate.after for item in self._items_of_step(name))
        return replace(gate, inputs=self._flat(gate.inputs), after=tuple(items))

    def _items_of_step(self, name: str) -> tuple[str, ...]:
        return self._sizes[name].names(name) if name in self._sizes else (name,)

    @property
    def _lists(self) -> set[str]:
        """Lists that steps map over."""
        mappings = (self._graph.bound[name].step.mapping for name in self._sizes)
        return {name for mapping in mappings if mapping is not None for name in mapping.over}

    def values(self, lists: Values) -> dict[str, Any]:
        """Return the values of the external inputs of items."""
        values: dict[str, Any] = {}
        for name in sorted(self._lists):
            if name in lists and name not in self._graph.producers:
                items = enumerate(lists[name])
                values.update((item_name(name, index), value) for index, value in items)
        for template in self._templates.values():
            values.update(template.columns.values)
        return values


def _produced_list(step: str, name: str, producer: str) -> FlowymlError:
    return InvalidStepError(
        what=f"Step {step!r} can't map over {name!r}",
        why=f"step {producer!r} produces it in the run, and no earlier run of the pipeline in this "
        "store shows its length",
        fix=f"write {step}.map(…, expect=N) to plan for about N items; the list may have more or "
        "fewer when it exists",
    )


def _mixed_lists(step: str, name: str, producer: str, known: Mapping[str, int]) -> FlowymlError:
    return InvalidStepError(
        what=f"Step {step!r} can't map over {name!r} and {' and '.join(known)} together",
        why=f"step {producer!r} produces {name!r} in the run, and the other list is known before",
        fix=f"let {producer!r} return the other list as well, or map over pairs of their items",
    )


def _no_list(step: str, name: str, value: Any) -> FlowymlError:
    return InvalidStepError(
        what=f"Step {step!r} can't map over {name!r}",
        why=f"its type is {type(value).__name__}, which is not a list",
        fix=list_advice(value),
    )


def _different_lengths(step: str, lengths: Mapping[str, int]) -> FlowymlError:
    return InvalidStepError(
        what=f"Step {step!r} can't map over lists of different lengths",
        why=", ".join(f"{name} has {length} items" for name, length in lengths.items()),
        fix="pass lists of the same length, or map over them in different steps",
    )


def _unknown_length(step: Step) -> FlowymlError:
    assert step.mapping is not None
    names = ", ".join(map(repr, step.mapping.over))
    return InvalidStepError(
        what=f"The number of items of step {step.name!r} is unknown",
        why=f"{names} has no value yet",
        fix=f"pass its value in `inputs` or in the context, or write {step.name}.map(…, expect=N) "
        "to plan for N items",
    )
