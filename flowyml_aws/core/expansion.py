"""Expansion of mapped steps into the steps of their items.

The graph of a pipeline with maps has one step for each item: `train[3]` reads `shards[3]` and
produces `model[3]`. All later parts (caching, planning, jobs) see steps only. A step that reads an
asset of all items has the assets of the items in `reads`, and the name of the whole in its
arguments; `StepGraph.gathered` connects both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from typing import Any

from flowyml_aws.core.arguments import Argument, Arguments
from flowyml_aws.core.binding import BoundCall, BoundStep
from flowyml_aws.core.domains import Place, find_places
from flowyml_aws.core.errors import DuplicateAssetError, FlowymlError, InvalidStepError
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.maps import item_name
from flowyml_aws.core.step import MapItem, Step
from flowyml_aws.core.step_grouping import StepGroup

__all__ = ["Expansion", "expand"]

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Expansion:
    """A graph in which each item of a mapped step is a step.

    Attributes:
        graph: The expanded graph.
        groups: Groups of the expanded graph; all items of mapped steps are in one group.
        values: Values of the external inputs of items, if they are known.
    """

    graph: StepGraph
    groups: tuple[StepGroup, ...]
    values: Values = field(default_factory=dict)


def expand(
    graph: StepGraph, groups: Sequence[StepGroup], values: Values
) -> tuple[Expansion | None, list[FlowymlError]]:
    """Expand the mapped steps of a graph. Return None and all mistakes if there are any.

    Args:
        graph: Graph of the declared steps.
        groups: Their groups; the steps of a mapped group are in one stage of one domain.
        values: Values of lists by name, if known.
    """
    mapped = [step for step in graph.steps if step.mapping is not None]
    if not mapped:
        return Expansion(graph, tuple(groups)), []
    places = find_places(graph.steps, graph.reads, graph.producers)
    lengths, problems = _lengths(mapped, places, graph, values)
    problems += _name_conflicts(mapped, graph)
    if problems:
        return None, problems
    expander = _Expander(graph, {name: lengths[place.domain] for name, place in places.items()})
    new_groups = tuple(group for group in map(expander.group, groups) if group.steps)
    steps = tuple(step for group in new_groups for step in group.steps)
    return Expansion(expander.graph(steps), new_groups, expander.values(values)), []


def _lengths(
    mapped: Sequence[Step], places: Mapping[str, Place], graph: StepGraph, values: Values
) -> tuple[dict[int, int], list[FlowymlError]]:
    """Return the number of items of each domain."""
    found: dict[int, dict[str, int]] = {}
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
                problems.append(_produced_list(step.name, name, producer))
            elif name in values:
                if not _is_list(values[name]):
                    problems.append(_no_list(step.name, name, values[name]))
                else:
                    known[repr(name)] = len(values[name])
    lengths: dict[int, int] = {}
    for step in mapped:
        domain = places[step.name].domain
        known = found[domain]
        if len(set(known.values())) > 1:
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
    return lengths, problems


def _is_list(value: Any) -> bool:
    return (
        isinstance(value, Sized)
        and hasattr(value, "__getitem__")
        and not isinstance(value, (str, bytes, bytearray, Mapping))
    )


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
        lengths: Number of items of each mapped step.
    """

    def __init__(self, graph: StepGraph, lengths: Mapping[str, int]) -> None:
        self._graph = graph
        self._lengths = lengths
        self._assets: dict[str, int] = {}  # number of items of each asset of a mapped step
        for name, length in lengths.items():
            step = graph.bound[name].step
            self._assets.update(dict.fromkeys(step.assets, length))
        self._bound: dict[str, BoundStep] = {}
        self._reads: dict[str, tuple[str, ...]] = {}
        self._columns: dict[str, _Columns] = {}
        self._gathered: dict[str, tuple[str, ...]] = {}
        self._declared: dict[str, str] = {}

    def group(self, group: StepGroup) -> StepGroup:
        """Return a group with the items of its steps, item by item."""
        first = group.steps[0].name
        if first not in self._lengths:
            for step in group.steps:
                self._keep(step)
            return group
        templates = [_Template(self._graph.bound[step.name], self) for step in group.steps]
        items = []
        for index in range(self._lengths[first]):
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
            count = self._assets[asset]
            self._gathered[asset] = tuple(item_name(asset, index) for index in range(count))
        return self._gathered[asset]

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
        if name not in self._lengths:
            return (name,)
        return tuple(item_name(name, index) for index in range(self._lengths[name]))

    @property
    def _lists(self) -> set[str]:
        """Lists that steps map over."""
        mappings = (self._graph.bound[name].step.mapping for name in self._lengths)
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

    def __init__(self, bound: BoundStep, expander: _Expander) -> None:
        step = bound.step
        assert step.mapping is not None
        self._bound, self._step, self._expander = bound, step, expander
        self._over = frozenset(step.mapping.over)
        self._rows = frozenset(step.mapping.parameters)
        self._columns = expander.columns(step)
        self._rule = step.mapping.on_item_failure
        self._whole = {a: expander.flat([a]) for a in bound.reads if a not in self._over}
        self._function = _Call(bound.function)
        self._condition = None if bound.condition is None else _Call(bound.condition)

    def item(self, index: int) -> tuple[BoundStep, tuple[str, ...]]:
        """Return the step of one item with its arguments, and the assets that it reads."""
        step, declare = self._step, self._expander.declare
        names = {name: item_name(name, index) for name in self._over}
        values = {name: self._columns.asset(name, index) for name in self._rows}
        outputs = tuple(item_name(asset, index) for asset in step.assets)
        for declared, item in (*names.items(), *values.items()):
            declare(item, declared)
        for declared, item in zip(step.assets, outputs, strict=True):
            declare(item, declared)
        item_step = replace(
            step,
            name=item_name(step.name, index),
            inputs=(*(names.get(name, name) for name in step.inputs), *values.values()),
            outputs=outputs,
            item=MapItem(step, index, self._rule),
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
        why=f"step {producer!r} produces it, so that its length is unknown before the run",
        fix="compute the list before the run, and pass it in the context or in `inputs`",
    )


def _no_list(step: str, name: str, value: Any) -> FlowymlError:
    return InvalidStepError(
        what=f"Step {step!r} can't map over {name!r}",
        why=f"it is a {type(value).__name__}, not a list",
        fix="pass a list, a tuple or an array",
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
