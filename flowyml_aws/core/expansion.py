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

from flowyml_aws.core.arguments import Argument, Arguments
from flowyml_aws.core.binding import BoundCall, BoundStep
from flowyml_aws.core.domains import Place, find_places
from flowyml_aws.core.errors import DuplicateAssetError, FlowymlError, InvalidStepError
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.maps import (
    EarlierLength,
    MapPart,
    is_list,
    item_name,
    list_advice,
    part_name,
    slice_of_part,
)
from flowyml_aws.core.step import MapItem, Step
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
        domain: _Size(length, _part_count(mapped, places, domain, length))
        if domain in in_parts
        else _Size(length)
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


@dataclass(frozen=True, slots=True)
class _Size:
    """The number of items of a mapped step.

    Attributes:
        items: Number of items, an assumption if there are parts.
        parts: Number of parts that run the items, or None if each item is a step.
    """

    items: int
    parts: int | None = None

    @property
    def steps(self) -> int:
        """Number of steps: of the items, or of the parts."""
        return self.items if self.parts is None else self.parts

    def name(self, name: str, index: int) -> str:
        """Return the name of one of the steps, or of one of its assets."""
        return item_name(name, index) if self.parts is None else part_name(name, index, self.parts)

    def part(self, index: int, lists: Mapping[str, str]) -> MapPart | None:
        """Return one of the parts, if there are any. See `MapPart` for its lists."""
        if self.parts is None:
            return None
        return MapPart(self.parts, len(slice_of_part(index, self.parts, self.items)), lists)


class _Expander:
    """Makes the steps of items.

    Args:
        graph: Graph of the declared steps.
        sizes: Number of items of each mapped step.
    """

    def __init__(self, graph: StepGraph, sizes: Mapping[str, _Size]) -> None:
        self._graph = graph
        self._sizes = sizes
        self._assets: dict[str, _Size] = {}  # number of items of each asset of a mapped step
        for name, size in sizes.items():
            step = graph.bound[name].step
            self._assets.update(dict.fromkeys(step.assets, size))
        self._bound: dict[str, BoundStep] = {}
        self._reads: dict[str, tuple[str, ...]] = {}
        self._columns: dict[str, _Columns] = {}
        self._gathered: dict[str, tuple[str, ...]] = {}
        self._declared: dict[str, str] = {}

    def group(self, group: StepGroup) -> StepGroup:
        """Return a group with the items of its steps, item by item."""
        first = group.steps[0].name
        if first not in self._sizes:
            for step in group.steps:
                self._keep(step)
            return group
        templates = [
            _Template(self._graph.bound[step.name], self, self._sizes[step.name])
            for step in group.steps
        ]
        items = []
        for index in range(self._sizes[first].steps):
            for template in templates:
                bound, reads = template.item(index)
                self._bound[bound.step.name], self._reads[bound.step.name] = bound, reads
                items.append(bound.step)
        return replace(group, steps=tuple(items))

    def _keep(self, step: Step) -> None:
        self._bound[step.name] = self._graph.bound[step.name]
        self._reads[step.name] = self.flat(self._graph.reads[step.name])

    def flat(self, assets: Sequence[str]) -> tuple[str, ...]:
        """Return assets with those of the items for each asset that all items produce."""
        names: list[str] = []
        for asset in assets:
            names += self.items_of(asset) if asset in self._assets else (asset,)
        return tuple(names)

    def items_of(self, asset: str) -> tuple[str, ...]:
        """Return the assets of the items of an asset that is read as a list."""
        if asset not in self._gathered:
            size = self._assets[asset]
            self._gathered[asset] = tuple(size.name(asset, index) for index in range(size.steps))
        return self._gathered[asset]

    def source(self, name: str, index: int, size: _Size) -> str:
        """Return the asset that a step reads for a list that it maps over."""
        is_whole = size.parts is not None and name not in self._assets
        return name if is_whole else size.name(name, index)

    def declare(self, item: str, name: str) -> None:
        """Record that an asset of an item is declared under a name."""
        self._declared[item] = name

    def columns(self, step: Step) -> _Columns:
        return self._columns.setdefault(step.name, _Columns.of(step))

    def graph(self, steps: Sequence[Step]) -> StepGraph:
        """Return the expanded graph."""
        old = self._graph
        for asset in self._assets:  # results are gathered, too
            self.items_of(asset)
        producers = {asset: step.name for step in steps for asset in step.assets}
        ranks = {step.name: number for number, step in enumerate(steps)}
        of_step = {name: self._items_of_step(name) for name in (step.name for step in old.steps)}
        after: dict[str, tuple[str, ...]] = {}
        parents: dict[str, tuple[str, ...]] = {}
        for step in steps:
            waits = old.after.get(step.declared_name, ())
            if waits:
                after[step.name] = tuple(item for name in waits for item in of_step[name])
            reads = self._reads[step.name]
            found = {producers[asset] for asset in reads if asset in producers}
            found.update(after.get(step.name, ()))
            parents[step.name] = tuple(sorted(found, key=ranks.__getitem__))
        return StepGraph(
            steps=tuple(steps),
            parents=parents,
            reads=self._reads,
            producers=producers,
            external_inputs=frozenset(
                asset for reads in self._reads.values() for asset in reads if asset not in producers
            )
            | {asset for asset in old.external_inputs if asset not in self._lists},
            bound=self._bound,
            after=after,
            gathered=self._gathered,
            declared=self._declared,
        )

    def _items_of_step(self, name: str) -> tuple[str, ...]:
        if name not in self._sizes:
            return (name,)
        size = self._sizes[name]
        return tuple(size.name(name, index) for index in range(size.steps))

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
        for columns in self._columns.values():
            values.update(columns.values)
        return values


class _Template:
    """A mapped step, from which the steps of its items are made."""

    def __init__(self, bound: BoundStep, expander: _Expander, size: _Size) -> None:
        step = bound.step
        assert step.mapping is not None
        self._bound, self._step, self._expander, self._size = bound, step, expander, size
        self._lists = step.mapping.over
        self._over = frozenset(self._lists)
        self._rows = frozenset(step.mapping.parameters)
        self._columns = expander.columns(step)
        self._rule = step.mapping.on_item_failure
        self._whole = {a: expander.flat([a]) for a in bound.reads if a not in self._over}
        self._function = _Call(bound.function)
        self._condition = None if bound.condition is None else _Call(bound.condition)

    def item(self, index: int) -> tuple[BoundStep, tuple[str, ...]]:
        """Return the step of one item with its arguments, and the assets that it reads."""
        step, size, declare = self._step, self._size, self._expander.declare
        names = {name: self._expander.source(name, index, size) for name in self._over}
        values = {name: self._columns.asset(name, index) for name in self._rows}
        outputs = tuple(size.name(asset, index) for asset in step.assets)
        for declared, item in (*names.items(), *values.items()):
            declare(item, declared)
        for declared, item in zip(step.assets, outputs, strict=True):
            declare(item, declared)
        item_step = replace(
            step,
            name=size.name(step.name, index),
            inputs=(*(names.get(name, name) for name in step.inputs), *values.values()),
            outputs=outputs,
            item=MapItem(
                step,
                index,
                self._rule,
                size.part(index, {names[name]: name for name in self._lists}),
            ),
            mapping=None,
        )
        reads = list(values.values())
        for asset in self._bound.reads:
            reads += (names[asset],) if asset in names else self._whole[asset]
        bound = BoundStep(
            item_step,
            self._function.renamed(names, values),
            None if self._condition is None else self._condition.renamed(names, values),
        )
        return bound, tuple(dict.fromkeys(reads))


class _Call:
    """A call of a mapped step, from which the calls of its items are made."""

    def __init__(self, call: BoundCall) -> None:
        self._call = call

    def renamed(self, assets: Mapping[str, str], values: Mapping[str, str]) -> BoundCall:
        """Return the call with other assets instead of some assets and context values."""

        def rename(argument: Argument) -> Argument:
            if argument.source == "asset" and argument.name in assets:
                return replace(argument, name=assets[argument.name])
            if argument.source == "context" and argument.name in values:
                return Argument("asset", values[argument.name])
            return argument

        arguments = self._call.arguments
        positional = tuple(map(rename, arguments.positional))
        keywords = {name: rename(argument) for name, argument in arguments.keywords.items()}
        return BoundCall(Arguments(positional, keywords), self._call.parameters)


@dataclass(frozen=True, slots=True)
class _Columns:
    """The values of the parameters of a step with rows, each distinct value once.

    Attributes:
        positions: Parameter → position of the value of each item.
        values: Values by asset.
    """

    step: str
    positions: Mapping[str, Sequence[int]]
    values: Values

    @classmethod
    def of(cls, step: Step) -> _Columns:
        assert step.mapping is not None
        positions: dict[str, list[int]] = {}
        values: dict[str, Any] = {}
        for name in step.mapping.parameters:
            known: dict[tuple[type, Any], int] = {}
            numbers = positions.setdefault(name, [])
            for row in step.mapping.rows or ():
                value = row[name]
                is_simple = type(value) in (str, int, bool, float) and value == value
                key = (type(value), value) if is_simple else (object, len(known))
                numbers.append(known.setdefault(key, len(known)))
                values[_column_item(step.name, name, numbers[-1])] = value
        return cls(step.name, positions, values)

    def asset(self, name: str, index: int) -> str:
        """Return the asset with the value of a parameter for an item."""
        return _column_item(self.step, name, self.positions[name][index])


def _column_item(step: str, parameter: str, position: int) -> str:
    return item_name(f"{step}.{parameter}", position)


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
