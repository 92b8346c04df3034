"""Maps: a step that runs once for each item of a list, and the items of its runs.

A mapped step is written for one item. Its items come from the lists that it maps over (`over`), or
from values of its parameters (`grid`, `rows`). All steps with the same items form a domain; item 3
of a step reads item 3 of a mapped step of its domain. Any other reader gets the list of all items.

If a step of the same run produces the list, its length is unknown until it exists. Then a fixed
number of parts is planned instead of items, and each part has a slice of the list.
"""

from __future__ import annotations

import itertools
import math
import re
import reprlib
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any, Literal, get_args

from flowyml_aws.core.errors import InvalidStepError

__all__ = [
    "EarlierLength",
    "FailureRule",
    "MapPart",
    "StepMap",
    "declared_name",
    "drop_cause",
    "index_of",
    "is_list",
    "is_part",
    "item_name",
    "list_advice",
    "make_map",
    "members_text",
    "part_name",
    "required_items",
    "short_names",
    "slice_of_part",
]

FailureRule = Literal["stop", "finish", "drop"]
FAILURE_RULES: tuple[FailureRule, ...] = get_args(FailureRule)
_short = reprlib.Repr()
_PART = re.compile(r"\{\d+/\d+\}$")


@dataclass(frozen=True, slots=True, eq=False)
class StepMap:
    """Declaration of the items for which a step runs.

    Attributes:
        over: Assets or context values, each a list; item n of the step gets item n of each.
        rows: Values of parameters for each item, if the step does not map over lists.
        items_per_job: Number of items that one job runs; None if the planner decides.
        on_item_failure: Consequence of a failed item: `"stop"` ends its job at once, `"finish"`
            runs the other items and then fails the run, `"drop"` leaves the item out.
        min_success: With `"drop"`, share of the items that must succeed, from 0 to 1.
        expect: Number of items to plan for if the length of the lists is unknown. By default, an
            earlier run decides, if a step of the pipeline produces the lists.
    """

    over: tuple[str, ...] = ()
    rows: tuple[Mapping[str, Any], ...] | None = None
    items_per_job: int | None = None
    on_item_failure: FailureRule = "finish"
    min_success: float = 0.0
    expect: int | None = None

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters that `rows` fills: each row has all of them."""
        return tuple(self.rows[0]) if self.rows else ()


@dataclass(frozen=True, slots=True)
class MapPart:
    """The part of a map over lists that the run produces, which a step runs instead of an item.

    Attributes:
        count: Number of parts.
        items: Number of items that it is planned for.
        lists: Asset that the part reads → name that its step maps over. They are equal if the
            asset is the whole list; otherwise the asset is the part of an earlier mapped step.
    """

    count: int
    items: int
    lists: Mapping[str, str]

    @property
    def whole_lists(self) -> tuple[str, ...]:
        """Lists of which the part takes a slice."""
        return tuple(asset for asset, name in self.lists.items() if asset == name)


@dataclass(frozen=True, slots=True)
class EarlierLength:
    """The number of items that a mapped step had in an earlier run, which produced its list."""

    items: int
    run_id: str


def item_name(name: str, index: int) -> str:
    """Return the name of one item of a mapped step or of one of its assets: `train[3]`."""
    return f"{name}[{index}]"


def part_name(name: str, number: int, count: int) -> str:
    """Return the name of a part of a mapped step or of one of its assets: `train{1/8}`.

    Args:
        name: Name of the step or the asset.
        number: Number of the part, from 0.
        count: Number of parts.
    """
    return f"{name}{{{number + 1}/{count}}}"


def is_part(name: str) -> bool:
    """Return whether a name is that of a part of a mapped step or of one of its assets."""
    return name.endswith("}") and _PART.search(name) is not None


def index_of(name: str) -> int | None:
    """Return the position of an item, or the number of a part from 0; None for other names."""
    if name.endswith("}") and (part := _PART.search(name)) is not None:
        return int(part[0][1:-1].partition("/")[0]) - 1
    index = name.rpartition("[")[2].removesuffix("]")
    return int(index) if declared_name(name) != name else None


def slice_of_part(number: int, count: int, length: int) -> range:
    """Return the positions of the items that a part takes from a list.

    Args:
        number: Number of the part, from 0.
        count: Number of parts.
        length: Length of the list.
    """
    return range(number * length // count, (number + 1) * length // count)


def is_list(value: Any) -> bool:
    """Return whether a value can be mapped over: it has a length and items by position.

    False for a table, because the items of a data frame are its columns, and its length is that of
    a column; and for an array without a dimension, which has no length.
    """
    return (
        isinstance(value, Sized)
        and hasattr(value, "__getitem__")
        and not isinstance(value, (str, bytes, bytearray, Mapping))
        and not hasattr(value, "columns")
        and getattr(value, "ndim", 1) != 0
    )


def list_advice(value: Any) -> str:
    """Return how to make a list of the items of a value that is not a list."""
    if isinstance(value, Mapping):
        return "pass a list, such as list(value.items())"
    if hasattr(value, "columns"):
        return 'pass a list, such as the rows of the table: frame.to_dict("records") of pandas'
    is_single = isinstance(value, (str, bytes, bytearray)) or hasattr(value, "ndim")
    if isinstance(value, Iterable) and not is_single:
        return "pass a list: list(value)"
    return "pass a list, a tuple or an array"


def drop_cause(item: str) -> str:
    """Return the reason why outputs do not exist that need an item which failed."""
    return f"step {item!r} failed"


def required_items(items: int, min_success: float) -> int:
    """Return the number of items that must not be dropped: at least one, if there are any."""
    return min(items, max(1, math.ceil(round(min_success * items, 6))))


def declared_name(name: str) -> str:
    """Return the name of the mapped step of an item or a part, or of its asset.

    Other names remain.
    """
    if name.endswith("}") and (part := _PART.search(name)) is not None:
        return name[: part.start()]
    stem, bracket, index = name.rpartition("[")
    return stem if bracket and index.endswith("]") and index[:-1].isdigit() else name


def members_text(names: Sequence[str]) -> str:
    """Return the number of items or parts of a mapped step, with several of them: `40 items`."""
    return f"{len(names):,} {'parts' if is_part(names[0]) else 'items'}"


def short_names(names: Iterable[str]) -> list[str]:
    """Return names with one text for all items of a mapped step or asset: `model (40 items)`."""
    items: dict[str, list[str]] = {}
    for name in names:
        items.setdefault(declared_name(name), []).append(name)
    return [
        members[0] if len(members) == 1 else f"{name} ({members_text(members)})"
        for name, members in items.items()
    ]


def make_map(
    step: str,
    over: str | Sequence[str] | None,
    grid: Mapping[str, Iterable[Any]] | None,
    rows: Iterable[Mapping[str, Any]] | None,
    items_per_job: int | None,
    on_item_failure: FailureRule,
    min_success: float | None,
    expect: int | None,
) -> StepMap:
    """Return the declaration of a map. The arguments are those of `Step.map`.

    Raises:
        InvalidStepError: An argument is invalid, or not exactly one source of items is given.
    """

    def invalid(argument: str, value: object, expected: str) -> InvalidStepError:
        return InvalidStepError(
            what=f"Step {step!r}: Invalid argument {argument}={value!r}",
            why=f"{argument} must be {expected}",
            fix=f"change it in {step}.map({argument}=…)",
        )

    sources = {"over": over, "grid": grid, "rows": rows}
    given = [name for name, value in sources.items() if value is not None]
    if len(given) != 1:
        raise InvalidStepError(
            what=f"Step {step!r}: map() got {' and '.join(given) or 'no items'}",
            why="a map has one source of items",
            fix=f'write {step}.map(over="LIST"), {step}.map(grid={{"PARAMETER": [VALUES]}}), or '
            f"{step}.map(rows=[…])",
        )
    names: tuple[Any, ...] = () if over is None else (over,)
    if isinstance(over, Sequence) and not isinstance(over, str):
        names = tuple(over)
    if over is not None and not (names and all(isinstance(n, str) and n for n in names)):
        raise InvalidStepError(
            what=f"Step {step!r}: Invalid argument over={_short.repr(over)}",
            why="over must be the name of a list, or several names",
            fix=f"write {step}.map(over='items'), and Context(items=…) or inputs={{'items': …}} "
            "with the list",
        )
    if len(set(names)) < len(names):
        raise invalid("over", over, "a list without duplicates")
    for argument, number in (("items_per_job", items_per_job), ("expect", expect)):
        if number is not None and (
            not isinstance(number, int) or isinstance(number, bool) or number < 1
        ):
            raise invalid(argument, number, "an integer of 1 or more")
    if on_item_failure not in FAILURE_RULES:
        rules = ", ".join(f'"{rule}"' for rule in FAILURE_RULES)
        raise invalid("on_item_failure", on_item_failure, f"one of {rules}")
    if min_success is not None:
        is_number = isinstance(min_success, (int, float)) and not isinstance(min_success, bool)
        if not is_number or not 0 <= min_success <= 1:
            raise invalid("min_success", min_success, "a number from 0 to 1")
        if on_item_failure != "drop":
            raise invalid("min_success", min_success, 'omitted without on_item_failure="drop"')
    table = None
    if grid is not None:
        table = _grid_rows(grid, invalid)
    elif rows is not None:
        table = tuple(dict(row) if isinstance(row, Mapping) else row for row in rows)
        for number, row in enumerate(table):
            if not isinstance(row, dict) or not row:
                raise invalid("rows", row, f"mappings of parameters to values (row {number})")
            if row.keys() != table[0].keys():
                expected = f"mappings with the same parameters; row {number} has {', '.join(row)}"
                raise invalid("rows", list(table[0]), expected)
    return StepMap(
        over=names,
        rows=table,
        items_per_job=items_per_job,
        on_item_failure=on_item_failure,
        min_success=min_success or 0.0,
        expect=expect,
    )


def _grid_rows(grid: Mapping[str, Iterable[Any]], invalid: Any) -> tuple[dict[str, Any], ...]:
    """Return one row for each combination of values; the last parameter changes fastest."""
    if not isinstance(grid, Mapping) or not grid:
        raise invalid("grid", grid, "a mapping of parameters to lists of values")
    for name, values in grid.items():
        if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
            raise invalid("grid", {name: values}, "a mapping of parameters to lists of values")
    columns = [list(values) for values in grid.values()]
    return tuple(
        dict(zip(grid, combination, strict=True)) for combination in itertools.product(*columns)
    )
