"""Terminal output of sheets, such as a comparison of runs."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from flowyml_aws.core.sheets import Sheet

__all__ = ["sheet_tables"]


def sheet_tables(sheets: Iterable[Sheet]) -> RenderableType:
    """Return sheets as tables, one below the other; long cells are wrapped."""
    parts: list[RenderableType] = []
    for sheet in sheets:
        if parts and (sheet.rows or sheet.lines):
            parts.append(Text())
        if sheet.title:
            parts.append(Text(sheet.title, style="bold"))
        if sheet.rows:
            table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
            for number, title in enumerate(sheet.columns):
                justify = "right" if number in sheet.numbers else "left"
                table.add_column(title, justify=justify, overflow="fold")  # type: ignore[arg-type]
            for row in sheet.rows:
                table.add_row(*map(Text, row))
            parts.append(table)
        parts += map(Text, sheet.lines)
    return Group(*parts)
