"""Sweeps from the command line: the rows of a CSV file are the items of a step."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from flowyml_aws.core.context import ContextText
from flowyml_aws.core.errors import SettingsError

__all__ = ["read_sweeps"]


def read_sweeps(options: Sequence[str]) -> dict[str, list[dict[str, ContextText]]]:
    """Return the rows of each `STEP=FILE.csv`, by step.

    The first line of a file names the parameters. The types of the parameters decide how a cell
    is read, as those of `--context`.

    Raises:
        SettingsError: An option is malformed, or a file can't be read.
    """
    sweeps: dict[str, list[dict[str, ContextText]]] = {}
    for option in options:
        step, equals, name = option.partition("=")
        if not equals or not step or not name:
            raise SettingsError(
                what=f"Invalid --sweep {option!r}: expected STEP=FILE.csv",
                why="STEP is the name of a step, and each row of the file is one item of it",
                fix="write for example --sweep train=trials.csv",
            )
        sweeps[step] = _rows(Path(name))
    return sweeps


def _rows(file: Path) -> list[dict[str, ContextText]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            names, *rows = [row for row in csv.reader(lines) if row] or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SettingsError(
            what=f"Can't read --sweep {file}", why=str(error), fix="correct the path or the file"
        ) from error
    names = [name.strip() for name in names]
    wrong = [name for name in names if not name.isidentifier()]
    if not rows or wrong or len(set(names)) < len(names):
        raise SettingsError(
            what=f"Can't use --sweep {file}",
            why=f"{wrong[0]!r} is not a parameter name"
            if wrong
            else "a parameter has two columns"
            if len(set(names)) < len(names)
            else "it has no rows",
            fix="write the names of parameters in the first line, and one item in each other line",
        )
    for number, row in enumerate(rows, 2):
        if len(row) != len(names):
            raise SettingsError(
                what=f"Can't use --sweep {file}",
                why=f"row {number} has {len(row)} values, and there are {len(names)} parameters",
                fix="correct the row",
            )
    return [dict(zip(names, map(ContextText, row), strict=True)) for row in rows]
