"""The statements of `docs/architecture.md` about folders and files."""

from __future__ import annotations

import re
import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/architecture.md").read_text("utf-8")
SCRIPT: Mapping[str, Any] = runpy.run_path(
    str(ROOT / "scripts/draw-architecture"), run_name="draw_architecture"
)
LAYERS = SCRIPT["read_layers"]((ROOT / "pyproject.toml").read_text("utf-8"))
# Files of users in examples.
EXAMPLES = {"tools/train.py"}


def test_the_picture_is_drawn_from_the_imports() -> None:
    assert SCRIPT["main"](["--check"]) == 0, f"run {SCRIPT['COMMAND']}"


def test_an_old_picture_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "architecture.md"
    page.write_text(PAGE.replace("cli --> testing", "cli --> core"), "utf-8")
    monkeypatch.setitem(SCRIPT["main"].__globals__, "PAGE", page)
    assert SCRIPT["main"](["--check"]) == 1
    assert "architecture.md has an old picture: run " in capsys.readouterr().out
    assert SCRIPT["main"]([]) == 0
    assert page.read_text("utf-8") == PAGE


def test_an_import_that_a_path_replaces_is_not_drawn() -> None:
    imports = {"cli": {"client", "core"}, "client": {"core"}, "core": set()}
    drawn = {"cli": {"client"}, "client": {"core"}, "core": set()}
    assert SCRIPT["without_shortcuts"](imports) == drawn


def test_the_folders_of_a_job_are_colored() -> None:
    layers = [["cli"], ["job"], ["core"]]
    imports = {"cli": {"core"}, "job": {"core"}, "core": set()}
    picture = SCRIPT["draw"](layers, imports, {"job", "core"})
    assert re.findall(r"(\w+):::job", picture) == ["job", "core"]
    assert re.findall(r"\w+ --> \w+", picture) == ["cli --> core", "job --> core"]


def test_the_table_has_every_folder_once() -> None:
    table = PAGE.partition("| folder | the question")[2].partition("\n\n")[0]
    cells = re.findall(r"^\| (`[^|]+`) \|", table, re.M)
    names = [name for cell in cells for name in re.findall(r"`(\w+)(?:\.py)?`", cell)]
    assert sorted(names) == sorted(name for layer in LAYERS for name in layer)


@pytest.mark.parametrize(
    "page",
    [ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")],
    ids=str,
)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    for name in re.findall(r"`([\w.-]+(?:/[\w.-]+)+\.py)`", page.read_text("utf-8")):
        places = (ROOT, ROOT / "flowyml_aws", page.parent)
        assert name in EXAMPLES or any((place / name).exists() for place in places), name
