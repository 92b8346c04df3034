"""Figures of documents, from the committed results.

A figure is text between two comments, which readers of the rendered page do not see:

    <!--bench startup: import flowyml_aws / import boto3-->0.30<!--/bench-->

The first comment names a benchmark and a row, and a reference after " / ": then the figure is the
ratio, otherwise the median with its unit. `best` or `worst` before the name of the benchmark takes
the end of the spread instead of the median. The figure of a program that has no results yet is
"not measured".
"""

from __future__ import annotations

import re
from collections.abc import Collection

from benchmarks._results import Results, Spread
from benchmarks._table import number, ratio

__all__ = ["UnknownFigureError", "fill"]

_FIGURE = re.compile(r"(<!--bench (?P<source>.+?)-->).*?(<!--/bench-->)", re.DOTALL)
_ENDS = {"best": "low", "worst": "high"}


class UnknownFigureError(ValueError):
    """A document quotes a figure that the results do not have."""


def fill(document: str, results: Results, programs: Collection[str]) -> str:
    """Return the document with the figures of the results.

    Args:
        programs: Names of all benchmarks, also of those without results.

    Raises:
        UnknownFigureError: There is no such program, or its results have no such row or reference.
    """

    def figure(found: re.Match[str]) -> str:
        return f"{found[1]}{_figure(found['source'], results, programs)}{found[3]}"

    filled = _FIGURE.sub(figure, document)
    opened, closed = document.count("<!--bench "), document.count("<!--/bench-->")
    if not opened == closed == len(_FIGURE.findall(document)):
        raise UnknownFigureError("a figure has no end: expected <!--bench …-->…<!--/bench-->")
    return filled


def _figure(source: str, results: Results, programs: Collection[str]) -> str:
    named, _, rest = source.partition(": ")
    end, _, benchmark = named.rpartition(" ")
    name, _, reference = rest.partition(" / ")
    if benchmark not in programs:
        raise UnknownFigureError(f"{source!r}: no such program, expected {', '.join(programs)}")
    if benchmark not in results.benchmarks:
        return "not measured"
    rows = {row.name: row for row in results.benchmarks[benchmark].rows}
    row = rows.get(name)
    if row is None:
        raise UnknownFigureError(f"{source!r}: no such row; {benchmark} has: {', '.join(rows)}")
    if not reference:
        return number(_of(row.value, end), row.unit)
    if reference not in row.ratios:
        references = ", ".join(row.ratios)
        raise UnknownFigureError(f"{source!r}: no such reference; the row has: {references}")
    return ratio(_of(row.ratios[reference], end))


def _of(spread: Spread, end: str) -> float:
    found: float = getattr(spread, _ENDS.get(end, "median"))
    return found
