"""`flowyml-aws plan --graph`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Cli

pytestmark = pytest.mark.usefixtures("rig")


@pytest.mark.contract
def test_the_suffix_selects_the_format_of_the_graph(cli: Cli, file: str) -> None:
    for name in ("plan.html", "plan.mmd", "plan.md"):
        answer = cli("plan", file, "--graph", name)
        assert answer.code == 0
        assert f"wrote the plan's graph to {name}" in answer.err
    assert Path("plan.html").read_text().startswith("<!doctype html>")
    assert Path("plan.mmd").read_text().startswith("flowchart")
    assert Path("plan.md").read_text() == f"```mermaid\n{Path('plan.mmd').read_text()}```\n"


def test_an_unsupported_suffix_is_a_mistake(cli: Cli, file: str) -> None:
    answer = cli("plan", file, "--graph", "plan.png")
    assert answer.code == 2
    assert ".html, .mmd, .md" in answer.err


def test_a_file_that_can_not_be_written_is_a_mistake(cli: Cli, file: str) -> None:
    answer = cli("plan", file, "--graph", "no/such/folder.mmd")
    assert answer.code == 2
    assert "Can't write to no/such/folder.mmd" in answer.err
