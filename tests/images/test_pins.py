"""Versions of packages that a project requires."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flowyml_aws.images.pins import project_pins
from flowyml_aws.settings.model import Settings

LOCK = """version = 1

[[package]]
name = "numpy"
version = "2.1.3"
source = { registry = "https://example.org/simple" }

[[package]]
name = "Py_Yaml"
version = "6.0"
"""
PIPFILE = {"default": {"numpy": {"version": "==2.1.3"}, "local": {"path": "."}}, "develop": {}}


@pytest.mark.parametrize(
    ("file", "text", "versions"),
    [
        ("uv.lock", LOCK, {"numpy": "2.1.3", "py-yaml": "6.0"}),
        ("poetry.lock", LOCK, {"numpy": "2.1.3", "py-yaml": "6.0"}),
        ("Pipfile.lock", json.dumps(PIPFILE), {"numpy": "2.1.3"}),
        (
            "requirements.txt",
            "numpy==2.1.3 --hash=sha256:ab\npandas>=2\nPy.Yaml[a]==6.0 ; python_version > '3'\n",
            {"numpy": "2.1.3", "py-yaml": "6.0"},
        ),
        (
            "pyproject.toml",
            '[project]\nname = "p"\nversion = "1"\ndependencies = ["numpy==2.1.3", "x>1"]\n',
            {"numpy": "2.1.3"},
        ),
    ],
)
def test_exact_versions_are_read(
    file: str, text: str, versions: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / file).write_text(text)
    pins = project_pins(tmp_path, Settings())
    assert pins.versions == versions
    assert file in pins.source


def test_the_setting_for_layers_takes_precedence(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("numpy==1.0\n")
    pins = project_pins(tmp_path, Settings(requirements=("numpy==2.0",)))
    assert pins.versions == {"numpy": "2.0"}


def test_versions_of_several_platforms_count_together(tmp_path: Path) -> None:
    lines = "numpy==1.0; sys_platform == 'darwin'\nnumpy==2.0; sys_platform != 'darwin'\n"
    (tmp_path / "requirements.txt").write_text(lines)
    assert project_pins(tmp_path, Settings()).versions == {"numpy": "1.0 or 2.0"}


def test_a_project_without_requirements_has_no_pins(tmp_path: Path) -> None:
    assert project_pins(tmp_path, Settings()).versions == {}
