"""Tables that leave out columns, and break no words, if they do not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table

__all__ = ["Column", "FittedTable"]

_UNLIMITED = 100_000  # columns


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        rank: Columns with the highest rank are left out first; those with rank 0 never.
    """

    title: str
    rank: int = 0
    is_number: bool = False


class FittedTable:
    """A table without the columns for which a terminal is too narrow.

    If the others do not fit either, the first column is cut off with an ellipsis.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._rows: list[Sequence[RenderableType]] = []

    def add_row(self, *cells: RenderableType) -> None:
        """Add a row with a cell for each column."""
        self._rows.append(cells)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table with as many columns as fit."""
        yield self._fitting(console, options)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Return the width of the table with as many columns as fit."""
        return Measurement.get(console, options, self._fitting(console, options))

    def _fitting(self, console: Console, options: ConsoleOptions) -> Table:
        highest = max(column.rank for column in self._columns)
        unlimited = options.update(max_width=_UNLIMITED)
        for rank in range(highest, -1, -1):
            table = self._table(rank)
            if Measurement.get(console, unlimited, table).maximum <= options.max_width:
                break
        return table

    def _table(self, highest: int) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
        kept = [number for number, each in enumerate(self._columns) if each.rank <= highest]
        for number in kept:
            column = self._columns[number]
            justify = "right" if column.is_number else "left"
            table.add_column(column.title, justify=justify, no_wrap=number > 0)  # type: ignore[arg-type]
        for cells in self._rows:
            table.add_row(*(cells[number] for number in kept))
        return table
