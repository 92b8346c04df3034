"""Dependency groups of pyproject.toml (PEP 735), and extras."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.images.requirements.find import find_requirements

GROUPS = """
[dependency-groups]
Base_Packages = ["numpy>=2"]
train = ["torch", {include-group = "base-packages"}]
dev = ["pytest"]
"""


def write(project: Path, text: str) -> None:
    (project / "pyproject.toml").write_text(text)


def test_the_setting_selects_groups_with_the_groups_that_they_include(tmp_path: Path) -> None:
    write(tmp_path, GROUPS)
    requirements = find_requirements(tmp_path, ("--group train", "scipy"))
    assert requirements.lines == ("torch", "numpy>=2", "scipy")


def test_the_only_group_of_a_project_without_other_declarations_is_installed(
    tmp_path: Path,
) -> None:
    write(tmp_path, "[dependency-groups]\ntrain = ['torch']\n")
    requirements = find_requirements(tmp_path, ())
    assert (requirements.lines, requirements.source) == (
        ("torch",),
        "the dependency group train in pyproject.toml",
    )


@pytest.mark.parametrize("project", ["", "[project]\nname = 'demo'\ndependencies = []\n"])
def test_groups_without_dependencies_are_an_error_until_some_are_selected(
    tmp_path: Path, project: str
) -> None:
    write(tmp_path, project + GROUPS)
    with pytest.raises(SettingsError) as caught:
        find_requirements(tmp_path, ())
    assert "by default: group Base_Packages in pyproject.toml, group train in" in caught.value.why
    assert "`image_requirements` (`-r FILE`, `--group NAME`" in caught.value.fix


def test_groups_and_extras_that_are_not_installed_are_stated(tmp_path: Path) -> None:
    project = "[project]\ndependencies = ['numpy']\n[project.optional-dependencies]\nplot = ['x']\n"
    write(tmp_path, project + GROUPS)
    requirements = find_requirements(tmp_path, ())
    assert requirements.lines == ("numpy",)
    assert requirements.source == (
        "dependencies in pyproject.toml, without group Base_Packages, group train, extra plot"
    )


def test_a_project_with_only_the_group_dev_declares_nothing(tmp_path: Path) -> None:
    write(tmp_path, "[project]\nname = 'demo'\n[dependency-groups]\ndev = ['pytest']\n")
    assert find_requirements(tmp_path, ()).source == "nothing: the project declares no packages"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "No dependency group 'train' in pyproject.toml"),
        ("train = 'torch'", "No dependency group 'train'"),
        ("train = [{include-group = 'train'}]", "Dependency group cycle: train → train"),
        ("train = [{include-group = 'missing'}]", "No dependency group 'missing'"),
        ("train = [{set-phasers-to = 'stun'}]", "Invalid requirement"),
        ("train = ['-e .']", "Unsupported requirement '-e .' in the dependency group train"),
    ],
)
def test_a_group_that_can_not_be_read_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, f"[dependency-groups]\n{text}\n")
    with pytest.raises(SettingsError) as caught:
        find_requirements(tmp_path, ("--group train",))
    assert message in caught.value.what
