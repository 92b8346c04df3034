"""Packages in conda's environment.yml."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.images.requirements.find import find_requirements

ONLY_PIP = """
name: demo
channels: [conda-forge]
dependencies:
  - conda-forge::python=3.11
  - pip
  - pip:
    - numpy>=2
    - -r more.txt
"""


def write(project: Path, text: str) -> None:
    (project / "environment.yml").write_text(text)


def test_the_pip_section_is_read(tmp_path: Path) -> None:
    write(tmp_path, ONLY_PIP)
    (tmp_path / "more.txt").write_text("scipy\n")
    requirements = find_requirements(tmp_path, ())
    assert (requirements.lines, requirements.source) == (("numpy>=2", "scipy"), "environment.yml")


def test_conda_packages_are_an_error_that_names_them(tmp_path: Path) -> None:
    write(tmp_path, "dependencies: [python, 'pytorch>=2', cudatoolkit, {pip: [numpy]}]\n")
    with pytest.raises(SettingsError) as caught:
        find_requirements(tmp_path, ())
    assert caught.value.what == "environment.yml lists conda packages: pytorch>=2, cudatoolkit"
    assert "the setting `image`" in caught.value.fix


def test_an_environment_with_only_python_declares_nothing(tmp_path: Path) -> None:
    write(tmp_path, "dependencies: [python=3.11, pip]\n")
    assert find_requirements(tmp_path, ()).source.startswith("nothing")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dependencies: [", "Can't read environment.yml"),
        ("dependencies: numpy", "Invalid dependencies in environment.yml"),
        ("dependencies: [{pip: numpy}]", "Invalid dependencies in environment.yml"),
        ("- numpy", "Invalid dependencies in environment.yml"),
    ],
)
def test_a_malformed_environment_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, text)
    with pytest.raises(SettingsError, match=message):
        find_requirements(tmp_path, ())


def test_without_pyyaml_the_error_names_the_package_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, ONLY_PIP)
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(SettingsError, match="pip install pyyaml"):
        find_requirements(tmp_path, ())
