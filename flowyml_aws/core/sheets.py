"""Small tables of text that are shown in notebooks: HTML and Markdown, escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from flowyml_aws.core.visible import visible

__all__ = ["Sheet", "ShownAsSheets", "to_html", "to_markdown"]

_MAX_ROWS = 200
# Names and messages come from jobs: a link or an image of theirs must not be loaded, either.
_MARKDOWN = str.maketrans({c: f"&#{ord(c)};" for c in "\\`*_{}[]()<>#+!|&~$:@-"} | {"\n": " "})
_TABLE = '<table style="text-align:left">'
_LEFT, _RIGHT = ' style="text-align:left"', ' style="text-align:right"'


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table with a title, and lines below it.

    Attributes:
        title: Title, or an empty string.
        columns: Titles of the columns.
        rows: Text of each cell.
        numbers: Positions of columns that are aligned to the right.
        lines: Lines below the table.
        code: Text that keeps its line breaks, such as a traceback; below the lines.
    """

    title: str
    columns: tuple[str, ...] = ()
    rows: Sequence[tuple[str, ...]] = ()
    numbers: frozenset[int] = field(default=frozenset())
    lines: tuple[str, ...] = ()
    code: tuple[str, ...] = ()


class ShownAsSheets:
    """Base of classes whose objects notebooks show as tables."""

    __slots__ = ()

    def _sheets(self) -> Sequence[Sheet]:
        raise NotImplementedError

    def _repr_html_(self) -> str:
        return to_html(self._sheets())

    def _repr_markdown_(self) -> str:
        return to_markdown(self._sheets())


def to_html(sheets: Iterable[Sheet]) -> str:
    """Return HTML in which all text of the sheets is escaped."""
    return f"<div>{''.join(part for sheet in sheets for part in _html(sheet))}</div>"


def to_markdown(sheets: Iterable[Sheet]) -> str:
    """Return Markdown in which all text of the sheets is escaped."""
    return "\n\n".join(part for sheet in sheets for part in _markdown(sheet))


def _html(sheet: Sheet) -> Iterable[str]:
    if sheet.title:
        yield f"<p><b>{_escaped(sheet.title)}</b></p>"
    if sheet.rows:
        aligned = [_RIGHT if n in sheet.numbers else _LEFT for n in range(len(sheet.columns))]
        yield _TABLE
        yield _html_row("th", sheet.columns, aligned)
        yield from (_html_row("td", row, aligned) for row in sheet.rows[:_MAX_ROWS])
        yield "</table>"
    for line in _lines(sheet):
        yield f"<p>{_escaped(line)}</p>"
    for code in sheet.code:
        yield f"<pre>{_escaped(code)}</pre>"


def _html_row(tag: str, cells: Sequence[str], aligned: Sequence[str]) -> str:
    inner = "".join(
        f"<{tag}{style}>{_escaped(cell)}</{tag}>"
        for cell, style in zip(cells, aligned, strict=True)
    )
    return f"<tr>{inner}</tr>"


def _escaped(text: str) -> str:
    return html.escape(visible(text))


def _markdown(sheet: Sheet) -> Iterable[str]:
    if sheet.title:
        yield f"**{_plain(sheet.title)}**"
    if sheet.rows:
        ruler = ("--:" if n in sheet.numbers else ":--" for n in range(len(sheet.columns)))
        rows = [map(_plain, sheet.columns), ruler]
        rows += [map(_plain, row) for row in sheet.rows[:_MAX_ROWS]]
        yield "\n".join(f"| {' | '.join(row)} |" for row in rows)
    for line in _lines(sheet):
        yield _plain(line)
    for code in sheet.code:  # indented: a fence could be closed by the text
        yield "\n".join(f"    {line}" for line in visible(code).splitlines())


def _plain(text: str) -> str:
    return visible(text).translate(_MARKDOWN)


def _lines(sheet: Sheet) -> Iterable[str]:
    if len(sheet.rows) > _MAX_ROWS:
        yield f"… and {len(sheet.rows) - _MAX_ROWS} more"
    yield from sheet.lines
