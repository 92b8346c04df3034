"""Comparison of two tables of results by the ratios of their rows, not by absolute numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from benchmarks._results import MIN_FOR_QUARTILES, Result, Results, Spread

__all__ = ["Change", "Comparison", "Verdict", "compare", "lines"]

MOVED = 0.15  # smaller changes of a ratio are not reported


class Verdict(Enum):
    """Outcome of the comparison of one ratio."""

    BETTER = "better"
    WORSE = "worse"
    NOISE = "within the noise"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Change:
    """A ratio before and after. Less is better."""

    benchmark: str
    row: str
    reference: str
    before: Spread
    after: Spread

    @property
    def verdict(self) -> Verdict:
        """A move is within the noise if the two spreads overlap.

        The noise of a few repetitions is unknown: then a move outside the spread counts as well.
        """
        before, after = self.before.median, self.after.median
        if abs(after - before) <= MOVED * abs(before):
            return Verdict.UNCHANGED
        if self.before.low <= self.after.high and self.after.low <= self.before.high:
            return Verdict.NOISE
        return Verdict.BETTER if after < before else Verdict.WORSE

    @property
    def has_unknown_noise(self) -> bool:
        return min(self.before.repetitions, self.after.repetitions) < MIN_FOR_QUARTILES


@dataclass(frozen=True, slots=True)
class Comparison:
    """All changes, and rows that are not compared, as "benchmark: row".

    Attributes:
        without_ratio: Rows that both tables have, without a reference in both.
        only_before: Rows that were not measured this time.
        only_after: Rows that the earlier table does not have.
    """

    changes: tuple[Change, ...]
    without_ratio: tuple[str, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]

    @property
    def is_worse(self) -> bool:
        return any(change.verdict is Verdict.WORSE for change in self.changes)


def compare(before: Results, after: Results) -> Comparison:
    """Compare the benchmarks of the later table with those of the earlier one."""
    changes: list[Change] = []
    without_ratio, only_before, only_after = [], [], []
    for benchmark, result in after.benchmarks.items():
        earlier = before.benchmarks.get(benchmark)
        old_rows = {row.name: row for row in earlier.rows} if earlier else {}
        new_rows = {row.name: row for row in result.rows}
        only_before += [f"{benchmark}: {name}" for name in old_rows.keys() - new_rows.keys()]
        for name, row in new_rows.items():
            if name not in old_rows:
                only_after.append(f"{benchmark}: {name}")
                continue
            old_ratios = old_rows[name].ratios
            shared = [reference for reference in row.ratios if reference in old_ratios]
            changes += [
                Change(benchmark, name, reference, old_ratios[reference], row.ratios[reference])
                for reference in shared
            ]
            if not shared:
                without_ratio.append(f"{benchmark}: {name}")
    return Comparison(
        tuple(changes), tuple(without_ratio), tuple(sorted(only_before)), tuple(only_after)
    )


def lines(before: Results, after: Results) -> Iterator[str]:
    """Yield the comparison as lines of text, the worse rows first."""
    comparison = compare(before, after)
    for benchmark, result in after.benchmarks.items():
        earlier = before.benchmarks.get(benchmark)
        if earlier is not None:
            yield from _changed_machine(benchmark, earlier, result)
    for verdict in (Verdict.WORSE, Verdict.BETTER, Verdict.NOISE):
        for change in comparison.changes:
            if change.verdict is verdict:
                yield _line(change)
    unchanged = sum(change.verdict is Verdict.UNCHANGED for change in comparison.changes)
    yield f"{unchanged} ratios moved by at most {MOVED:.0%}"
    for title, names in (
        ("not compared, no reference", comparison.without_ratio),
        ("not compared, not in the committed table", comparison.only_after),
        ("not compared, not measured this time", comparison.only_before),
    ):
        yield from (f"{title}: {name}" for name in names)


def _line(change: Change) -> str:
    before, after = change.before, change.after
    moved = f", {after.median / before.median - 1:+.0%}" if before.median else ""
    unknown = "; few repetitions, noise unknown" if change.has_unknown_noise else ""
    return (
        f"{change.verdict.value}: {change.benchmark}: {change.row}, relative to "
        f"{change.reference}: {_range(before)} → {_range(after)}{moved}{unknown}"
    )


def _range(spread: Spread) -> str:
    if spread.repetitions == 1:
        return f"{spread.median:.3g}"
    return f"{spread.median:.3g} ({spread.low:.3g} to {spread.high:.3g})"


def _changed_machine(benchmark: str, before: Result, after: Result) -> Iterator[str]:
    old, new = before.machine.model_dump(), after.machine.model_dump()
    old |= old.pop("packages")
    new |= new.pop("packages")
    changed = [
        f"{name} {old.get(name)} → {new.get(name)}"
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    ]
    if changed:
        yield f"note: {benchmark} was measured on a different machine: {', '.join(changed)}"
