"""Requirements of a project's image, from the settings or the project's files."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.images.requirements.find import find_requirements


def test_the_setting_takes_precedence(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("numpy\n")
    requirements = find_requirements(tmp_path, ("scipy>=1,<2",))
    assert (requirements.lines, requirements.source) == (
        ("scipy>=1,<2",),
        "the setting `image_requirements`",
    )


def test_requirements_txt_takes_precedence_over_pyproject(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("numpy\n")
    (tmp_path / "pyproject.toml").write_text("[project]\ndependencies = ['scipy']\n")
    assert find_requirements(tmp_path, ()).lines == ("numpy",)


def test_a_project_that_declares_nothing_has_no_requirements(tmp_path: Path) -> None:
    requirements = find_requirements(tmp_path, ())
    assert requirements.lines == ()
    assert requirements.source == "nothing: the project declares no packages"


def test_an_empty_requirements_txt_states_that_jobs_need_no_packages(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("# the standard library is enough\n")
    (tmp_path / "requirements.in").write_text("numpy\n")
    requirements = find_requirements(tmp_path, ())
    assert requirements.lines == ()
    assert requirements.source == "nothing: requirements.txt lists no packages"


def test_the_setting_selects_requirements_files(tmp_path: Path) -> None:
    (tmp_path / "requirements.in").write_text("numpy\n")
    (tmp_path / "pins.txt").write_text("numpy==2.1\n")
    requirements = find_requirements(tmp_path, ("-r requirements.in", "-c pins.txt", "scipy"))
    assert (requirements.lines, requirements.constraints) == (("numpy", "scipy"), ("numpy==2.1",))


@pytest.mark.parametrize(
    "name",
    [
        "requirements.in",
        "requirements-train.txt",
        "requirements/base.txt",
        "pylock.toml",
        "pixi.toml",
    ],
)
def test_a_declaration_that_no_source_reads_is_an_error_that_names_it(
    tmp_path: Path, name: str
) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("numpy\n")
    with pytest.raises(SettingsError) as caught:
        find_requirements(tmp_path, ())
    assert f"by default: {name}" in caught.value.why
    assert "`image_requirements`" in caught.value.fix


def test_a_table_of_another_tool_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.pixi.dependencies]\npytorch = '*'\n")
    with pytest.raises(SettingsError, match=r"tool\.pixi\.dependencies in pyproject\.toml"):
        find_requirements(tmp_path, ())


@pytest.mark.parametrize(
    ("name", "text", "command"),
    [
        ("pyproject.toml", "[tool.poetry.dependencies]\npython = '*'\nx = '*'\n", "poetry lock"),
        ("Pipfile", "[packages]\nnumpy = '*'\n", "pipenv lock"),
    ],
)
def test_a_missing_lock_file_is_an_error_with_the_command_that_writes_it(
    tmp_path: Path, name: str, text: str, command: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(SettingsError, match=f"(?s)there is no lock file.*`{command}`"):
        find_requirements(tmp_path, ())
