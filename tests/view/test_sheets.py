from __future__ import annotations

import io

import pytest
from rich.console import Console

from flowyml_aws.core.sheets import Sheet
from flowyml_aws.view.sheets import sheet_tables

SHEET = Sheet(
    title="runs",
    columns=("run", "cost"),
    rows=[("a-run-with-a-long-name-20261130-105140-db60e1", "$1")],
    numbers=frozenset({1}),
    lines=("a note",),
)


@pytest.mark.parametrize("width", [24, 120])
def test_tables_fit_a_terminal_and_lose_nothing(width: int) -> None:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(sheet_tables([SHEET]))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert max(map(len, shown.splitlines())) <= width
    joined = "".join(line.split("$")[0].strip() for line in shown.splitlines())
    assert "a-run-with-a-long-name-20261130-105140-db60e1" in joined
    assert "$1" in shown and "a note" in shown
