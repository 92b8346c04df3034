"""Figures of documents, from the committed results.

A figure is text between two comments, which readers of the rendered page do not see:

    <!--bench startup: import flowyml_aws / import boto3-->0.30<!--/bench-->

The first comment names a benchmark and a row, and a reference after " / ": then the figure is the
ratio, otherwise the median with its unit. `best` or `worst` before the name of the benchmark takes
the end of the spread instead of the median.
"""

from __future__ import annotations

import re

from benchmarks._results import Results, Spread
from benchmarks._table import number, ratio

__all__ = ["UnknownFigureError", "fill"]

_FIGURE = re.compile(r"(<!--bench (?P<source>.+?)-->).*?(<!--/bench-->)", re.DOTALL)
_ENDS = {"best": "low", "worst": "high"}


class UnknownFigureError(ValueError):
    """A document quotes a figure that the results do not have."""


def fill(document: str, results: Results) -> str:
    """Return the document with the figures of the results.

    Raises:
        UnknownFigureError: The results have no such row or reference.
    """
    filled = _FIGURE.sub(
        lambda found: f"{found[1]}{_figure(found['source'], results)}{found[3]}", document
    )
    opened, closed = document.count("<!--bench "), document.count("<!--/bench-->")
    if not opened == closed == len(_FIGURE.findall(document)):
        raise UnknownFigureError("a figure has no end: expected <!--bench …-->…<!--/bench-->")
    return filled


def _figure(source: str, results: Results) -> str:
    named, _, rest = source.partition(": ")
    end, _, benchmark = named.rpartition(" ")
    name, _, reference = rest.partition(" / ")
    result = results.benchmarks.get(benchmark)
    rows = {row.name: row for row in result.rows} if result else {}
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
