"""The steps of the items of a mapped step, and their arguments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flowyml_aws.core.arguments import Argument, Arguments
from flowyml_aws.core.binding import BoundCall, BoundStep
from flowyml_aws.core.maps import MapPart, item_name, part_name, slice_of_part
from flowyml_aws.core.step import MapItem, Step

__all__ = ["BoundItems", "Columns", "MapSize", "Template"]


@dataclass(frozen=True, slots=True)
class MapSize:
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

    def names(self, name: str) -> tuple[str, ...]:
        """Return the names of all steps, or of one asset of each."""
        return tuple(self.name(name, index) for index in range(self.steps))


@dataclass(frozen=True, slots=True)
class Columns:
    """The values of the parameters of a step with rows, each distinct value once.

    Attributes:
        assets: Parameter → asset with the value of each item.
        values: Values by asset.
    """

    assets: Mapping[str, Sequence[str]]
    values: Mapping[str, Any]

    @classmethod
    def of(cls, step: Step) -> Columns:
        """Return the columns of a mapped step; none if it maps over lists."""
        assert step.mapping is not None
        assets: dict[str, list[str]] = {}
        values: dict[str, Any] = {}
        for name in step.mapping.parameters:
            known: dict[tuple[type, Any], str] = {}
            column = assets.setdefault(name, [])
            for row in step.mapping.rows or ():
                value = row[name]
                is_simple = type(value) in (str, int, bool, float) and value == value
                same = repr(value) if type(value) is float else value  # 0.0 and -0.0 are equal
                key = (type(value), same) if is_simple else (object, len(known))
                if key not in known:
                    known[key] = item_name(f"{step.name}.{name}", len(known))
                    values[known[key]] = value
                column.append(known[key])
        return cls(assets, values)


class Template:
    """A mapped step, from which the steps of its items are made.

    Args:
        bound: The mapped step with its arguments.
        size: Number of its items.
        produced: Asset of a mapped step → the assets of its items.
        whole: Asset that the step reads → the assets that a reader of all its items reads.

    Attributes:
        columns: Values of its parameters.
        declared: Asset of an item → its name in the mapped step, or its parameter.
    """

    def __init__(
        self,
        bound: BoundStep,
        size: MapSize,
        produced: Mapping[str, tuple[str, ...]],
        whole: Mapping[str, tuple[str, ...]],
    ) -> None:
        step = bound.step
        assert step.mapping is not None
        self._bound, self._step, self._size, self._whole = bound, step, size, whole
        self._rule = step.mapping.on_item_failure
        self.columns = Columns.of(step)
        self._outputs = {asset: produced[asset] for asset in step.assets}
        self._lists: dict[str, Sequence[str]] = {}
        for name in step.mapping.over:
            if name in produced:
                self._lists[name] = produced[name]
            else:  # each part takes its slice from the whole list
                self._lists[name] = size.names(name) if size.parts is None else [name] * size.parts
        self.declared: dict[str, str] = {}
        for names in (self._lists, self.columns.assets, self._outputs):
            for name, assets in names.items():
                self.declared.update(dict.fromkeys(assets, name))

    def item(self, index: int) -> tuple[Step, tuple[str, ...]]:
        """Return the step of one item, and the assets that it reads."""
        step = self._step
        lists, values = self._sources(index)
        item_step = step.with_item(
            name=self._size.name(step.name, index),
            inputs=(*(lists.get(name, name) for name in step.inputs), *values.values()),
            outputs=tuple(assets[index] for assets in self._outputs.values()),
            item=MapItem(step, index, self._rule, self._part(index, lists)),
        )
        reads = list(values.values())
        for asset in self._bound.reads:
            reads += (lists[asset],) if asset in lists else self._whole[asset]
        return item_step, tuple(dict.fromkeys(reads))

    def bound(self, item: Step) -> BoundStep:
        """Return the step of an item with its arguments."""
        assert item.item is not None
        lists, values = self._sources(item.item.index)
        condition = self._bound.condition
        return BoundStep(
            item,
            _renamed(self._bound.function, lists, values),
            None if condition is None else _renamed(condition, lists, values),
            self._bound.context_names,
        )

    def _sources(self, index: int) -> tuple[dict[str, str], dict[str, str]]:
        """Return the assets that an item reads for lists, and those for its parameters."""
        lists = {name: assets[index] for name, assets in self._lists.items()}
        values = {name: assets[index] for name, assets in self.columns.assets.items()}
        return lists, values

    def _part(self, index: int, lists: Mapping[str, str]) -> MapPart | None:
        if self._size.parts is None:
            return None
        items = len(slice_of_part(index, self._size.parts, self._size.items))
        return MapPart(self._size.parts, items, {asset: name for name, asset in lists.items()})


class BoundItems(Mapping[str, BoundStep]):
    """The steps of an expanded graph with their arguments, by name.

    The arguments of an item are made when they are read: a map may have thousands of items.

    Args:
        steps: Steps of the graph.
        declared: Declared steps with their arguments.
        templates: Templates of the mapped steps, by name.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        declared: Mapping[str, BoundStep],
        templates: Mapping[str, Template],
    ) -> None:
        self._steps = {step.name: step for step in steps}
        self._declared = declared
        self._templates = templates

    def __getitem__(self, name: str) -> BoundStep:
        step = self._steps[name]
        if step.item is None:
            return self._declared[name]
        return self._templates[step.declared_name].bound(step)

    def __iter__(self) -> Iterator[str]:
        return iter(self._steps)

    def __len__(self) -> int:
        return len(self._steps)


def _renamed(call: BoundCall, lists: Mapping[str, str], values: Mapping[str, str]) -> BoundCall:
    """Return a call with the assets of an item instead of lists and context values."""

    def rename(argument: Argument) -> Argument:
        if argument.source == "asset" and argument.name in lists:
            return replace(argument, name=lists[argument.name])
        if argument.source == "context" and argument.name in values:
            return Argument("asset", values[argument.name])
        return argument

    arguments = call.arguments
    positional = tuple(map(rename, arguments.positional))
    keywords = {name: rename(argument) for name, argument in arguments.keywords.items()}
    return BoundCall(Arguments(positional, keywords), call.parameters)
