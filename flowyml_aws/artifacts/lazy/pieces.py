"""The interface of values that can be read in pieces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from flowyml_aws.core.errors import UserError

__all__ = ["LazyAccessError", "Pieces", "positions_of", "rows_of_slice", "unsupported"]


class LazyAccessError(UserError, TypeError):
    """A value can't be read in the way in which a `Lazy` was used."""


class Pieces(Protocol):
    """The pieces of a value. Each one is a new object, so changes of it do not reach the value.

    A method that the kind of value does not have raises `LazyAccessError`.
    """

    def length(self) -> int:
        """Return the number of rows, items or bytes, without reading them."""

    def get(self, key: Any) -> Any:
        """Return the rows or items of a slice, or one of them."""

    def columns(self, labels: Sequence[Any]) -> Any:
        """Return all rows of some columns."""

    def fact(self, name: str) -> Any:
        """Return `shape`, `dtype` or `schema`, without reading rows."""


def unsupported(kind: str, operation: str) -> LazyAccessError:
    """Return the error for an operation that a kind of value does not have."""
    return LazyAccessError(
        what=f"A lazy {kind} has no {operation}",
        why="arrays and series have rows, a shape and a data type; frames and tables have rows, "
        "columns, a shape and a schema; lists, dicts and bytes have items",
        fix="read the whole value with .load(), and use that",
    )


def rows_of_slice(kind: str, key: Any, length: int) -> range:
    """Return the rows of a table that a slice without a step selects.

    Raises:
        LazyAccessError: The key is not such a slice.
    """
    if not isinstance(key, slice) or key.step not in (None, 1):
        raise LazyAccessError(
            what=f"A lazy {kind} has no rows {key!r}",
            why="rows of frames, series and tables are read by a slice without a step",
            fix="read rows as lazy[0:100], and select from that; or use .columns or .load()",
        )
    return range(*key.indices(length))


def positions_of(
    labels: Sequence[Any], find: Callable[[Any], Sequence[int]], known: Sequence[Any]
) -> list[int]:
    """Return the positions of some columns in their table, in the order of the labels.

    Args:
        labels: Labels of the columns.
        find: Returns the positions of the columns with a label.
        known: Labels of the table.

    Raises:
        LazyAccessError: The table has no such column, or the labels are one string.
    """
    if isinstance(labels, str | bytes):
        raise LazyAccessError(
            what=f"Columns must be a list of labels, got the string {labels!r}",
            why="each character would be a label",
            fix=f"write .columns([{labels!r}])",
        )
    positions: list[int] = []
    for label in labels:
        found = find(label)
        if not len(found):
            raise LazyAccessError(
                what=f"No column {label!r}",
                why=f"the columns are {_shortened(known)}",
                fix="use the labels of the stored table, which .schema contains",
            )
        positions += map(int, found)
    return positions


def _shortened(labels: Sequence[Any]) -> str:
    shown = ", ".join(map(repr, labels[:20]))
    return f"{shown}, … ({len(labels)} in total)" if len(labels) > 20 else shown or "(none)"
