"""The comparison of the run of a report with another one, as the command `compare` shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from flowyml_aws.core.sheets import Sheet
from flowyml_aws.report.data import ComparedEntry, ComparedRunEntry, ComparisonEntry
from flowyml_aws.submission.compare import (
    KIND_TITLES,
    ComparedRun,
    ComparedValue,
    Comparison,
    Kind,
)

__all__ = ["MAX_COMPARED", "ComparedSheet", "comparison_entry", "comparison_sheets"]

MAX_COMPARED = 100
"""Rows of each table of a comparison in a page."""
# Shown also if they are equal, as a reader wants to see the figures.
_ALWAYS = (Kind.METRIC, Kind.TIME, Kind.COST)


@dataclass(frozen=True, slots=True)
class ComparedSheet:
    """A table of a comparison in a page.

    Attributes:
        omitted: Number of rows that the page leaves out.
    """

    sheet: Sheet
    omitted: int


def comparison_entry(comparison: Comparison) -> ComparisonEntry:
    """Return a comparison as a document."""
    return ComparisonEntry(
        first=_run_entry(comparison.first),
        second=_run_entry(comparison.second),
        values=tuple(
            ComparedEntry(
                kind=value.kind,
                step=value.step,
                name=value.name,
                first=value.first,
                second=value.second,
            )
            for value in comparison.values
        ),
        notes=comparison.notes,
    )


def comparison_sheets(entry: ComparisonEntry) -> Sequence[ComparedSheet]:
    """Return the tables of a comparison: differences, and all metrics, times and costs.

    The last table has lines only: the number of equal values of each other kind, and the notes.
    """
    comparison = _comparison(entry)
    shown = tuple(filter(_is_shown, comparison.values))
    sheets = replace(comparison, values=shown).sheets(everything=True)[:-1]
    lines = Sheet("", lines=(*_summary(comparison), *comparison.notes))
    return [*map(_shortened, sheets), ComparedSheet(lines, 0)]


def _is_shown(value: ComparedValue) -> bool:
    return value.is_different or value.kind in _ALWAYS


def _summary(comparison: Comparison) -> Iterator[str]:
    if not comparison.differences:
        yield "No differences."
    same = Counter(value.kind for value in comparison.values if not _is_shown(value))
    if same:
        counts = ", ".join(f"{KIND_TITLES[kind]} {count:,}" for kind, count in same.items())
        yield f"The same in both runs: {counts}."


def _shortened(sheet: Sheet) -> ComparedSheet:
    return ComparedSheet(
        replace(sheet, rows=sheet.rows[:MAX_COMPARED]), max(0, len(sheet.rows) - MAX_COMPARED)
    )


def _run_entry(run: ComparedRun) -> ComparedRunEntry:
    return ComparedRunEntry(
        run_id=run.run_id,
        pipeline=run.pipeline,
        backend=run.backend,
        state=run.state,
        duration_s=run.duration_s,
        cost_usd=run.cost_usd,
    )


def _comparison(entry: ComparisonEntry) -> Comparison:
    first, second = (
        ComparedRun(
            run.run_id, run.pipeline, run.backend, run.state, run.duration_s, run.cost_usd, {}
        )
        for run in (entry.first, entry.second)
    )
    return Comparison(first, second, tuple(_values(entry)), entry.notes)


def _values(entry: ComparisonEntry) -> Iterator[ComparedValue]:
    for value in entry.values:
        yield ComparedValue(value.kind, value.step, value.name, value.first, value.second)
