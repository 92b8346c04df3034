"""Columns of a summary: the reports of a map's items as numbers instead of names and times.

Items that have succeeded in a row, one after the other, become one entry: the names of their steps,
the index of the first item, and the times of each step, as milliseconds since the end of the step
before, and its milliseconds. The sizes of their assets become one entry in the same way. All other
reports stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["from_columns", "to_columns"]

_ITEMS, _SIZES = "items", "sizes"  # keys of entries
_PLAIN = {"name", "state", "started_at", "ended_at"}
_MAX_ITEMS = 10_000

Json = dict[str, Any]


@dataclass(slots=True)
class _Run:
    """Names of items in a row: `a[3], b[3], a[4], b[4]` is `a` and `b` from 3, two items."""

    names: list[str]
    first: int
    length: int

    @classmethod
    def begin(cls, names: Sequence[str | None], start: int) -> _Run | None:
        """Return the longest run from a position of names; None unless an item is there."""
        if (place := _item(names[start])) is None:
            return None
        declared = [place[0]]
        for position in range(start + 1, len(names)):
            other = _item(names[position])
            if other is None or other[1] != place[1]:
                break
            declared.append(other[0])
        run = cls(declared, place[1], len(declared))
        while (end := start + run.length) < len(names) and names[end] == run.name(run.length):
            run.length += 1
        return run

    def name(self, position: int) -> str:
        number, place = divmod(position, len(self.names))
        return f"{self.names[place]}[{self.first + number}]"


def to_columns(summary: Json, step_ms: int) -> Json:
    """Return the JSON of a summary with columns.

    Args:
        summary: JSON of a summary.
        step_ms: Precision of the times of items, in milliseconds.
    """
    steps = list(_packed_steps(summary["steps"], round(summary["started_at"] * 1000), step_ms))
    sizes = list(_packed_sizes(summary.get("asset_bytes", {})))
    return {**summary, "steps": steps, "asset_bytes": sizes, "step_ms": step_ms}


def from_columns(summary: Json) -> Json:
    """Return the JSON of a summary without columns.

    Raises:
        ValueError: The columns are invalid.
    """
    try:
        step_ms = summary["step_ms"]
        steps = list(_steps(summary["steps"], round(summary["started_at"] * 1000), step_ms))
        sizes = dict(_sizes(summary["asset_bytes"]))
    except (KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"invalid columns: {error}") from error
    plain = {key: value for key, value in summary.items() if key != "step_ms"}
    return {**plain, "steps": steps, "asset_bytes": sizes}


def _packed_steps(steps: Sequence[Json], end_ms: int, step_ms: int) -> Iterator[Json]:
    names = [report["name"] if _is_plain(report) else None for report in steps]
    position = 0
    while position < len(steps):
        run = _Run.begin(names, position)
        if run is None:
            report = steps[position]
            end_ms = round((report.get("ended_at") or end_ms / 1000) * 1000)
            yield report
            position += 1
            continue
        times = []
        for report in steps[position : position + run.length]:
            for time in (report["started_at"], report["ended_at"]):
                units = round((time * 1000 - end_ms) / step_ms)
                times.append(units)
                end_ms += units * step_ms
        yield {_ITEMS: run.names, "first": run.first, "times": times}
        position += run.length


def _steps(entries: Sequence[Json], end_ms: int, step_ms: int) -> Iterator[Json]:
    for entry in entries:
        if _ITEMS not in entry:
            end_ms = round((entry.get("ended_at") or end_ms / 1000) * 1000)
            yield entry
            continue
        run = _Run(entry[_ITEMS], entry["first"], len(entry["times"]) // 2)
        for position in range(min(run.length, _MAX_ITEMS)):
            started_ms = end_ms + entry["times"][2 * position] * step_ms
            end_ms = started_ms + entry["times"][2 * position + 1] * step_ms
            yield {
                "name": run.name(position),
                "state": "succeeded",
                "started_at": started_ms / 1000,
                "ended_at": end_ms / 1000,
            }


def _packed_sizes(sizes: Mapping[str, int]) -> Iterator[Json]:
    names = list(sizes)
    position = 0
    while position < len(names):
        run = _Run.begin(names, position) or _Run([], 0, 1)
        chosen = names[position : position + run.length]
        if run.names:
            yield {_SIZES: [sizes[n] for n in chosen], "names": run.names, "first": run.first}
        else:
            yield {"name": chosen[0], "size": sizes[chosen[0]]}
        position += run.length


def _sizes(entries: Sequence[Json]) -> Iterator[tuple[str, int]]:
    for entry in entries:
        if _SIZES not in entry:
            yield entry["name"], entry["size"]
            continue
        run = _Run(entry["names"], entry["first"], len(entry[_SIZES]))
        for position, size in enumerate(entry[_SIZES]):
            yield run.name(position), size


def _is_plain(report: Json) -> bool:
    """Return whether a report has nothing but its times."""
    return report.keys() == _PLAIN and report["state"] == "succeeded"


def _item(name: str | None) -> tuple[str, int] | None:
    """Return the name of the mapped step of an item, or of its asset, and the item's index."""
    if name is None:
        return None
    stem, bracket, index = name.rpartition("[")
    if not bracket or not index.endswith("]") or not index[:-1].isdecimal():
        return None
    return stem, int(index[:-1])
