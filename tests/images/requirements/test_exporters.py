"""Lock files of uv, Poetry and pipenv. The last two are substitutes that print a file."""

from __future__ import annotations

import os
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.images.requirements.find import find_requirements
from flowyml_aws.runtime.layer import uv_command

pytestmark = pytest.mark.contract

TOOL = """#!/bin/sh
echo "$@" >> "$0.calls"
if [ -e "$0.stale" ]; then echo 'the lock file is out of date' >&2; exit 1; fi
case "$1" in export|requirements) cat exported.txt ;; esac
"""
PYPROJECT = """
[project]
name = "demo"
version = "0"
requires-python = ">=3.10"
dependencies = ["small"]

[dependency-groups]
train = ["large"]
dev = ["other"]

[[tool.uv.index]]
name = "wheels"
url = "wheels"
format = "flat"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    project = tmp_path / "project"
    project.mkdir()
    return project


@pytest.fixture(params=["poetry", "pipenv"])
def tool(
    request: pytest.FixtureRequest, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A substitute for Poetry or pipenv on PATH, and a project with its lock file."""
    program = tmp_path / "bin" / str(request.param)
    program.parent.mkdir()
    program.write_text(TOOL)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    if program.name == "poetry":
        dependencies = "[tool.poetry.dependencies]\nnumpy = '*'\n"
        (project / "pyproject.toml").write_text(dependencies)
    else:
        (project / "Pipfile").write_text("[packages]\nnumpy = '*'\n")
    lock_file(program, project).touch()
    (project / "exported.txt").write_text('numpy==2.1 ; python_version >= "3.10"\n')
    yield program


def lock_file(tool: Path, project: Path) -> Path:
    return project / {"poetry": "poetry.lock", "pipenv": "Pipfile.lock"}[tool.name]


def test_a_lock_file_is_exported_by_its_tool_without_hashes(tool: Path, project: Path) -> None:
    requirements = find_requirements(project, ())
    assert requirements.lines == ('numpy==2.1 ; python_version >= "3.10"',)
    assert requirements.source == lock_file(tool, project).name
    assert (
        Path(f"{tool}.calls").read_text().splitlines()
        == {
            "poetry": ["export --without-hashes --no-interaction --no-ansi"],
            "pipenv": ["verify", "requirements"],
        }[tool.name]
    )


def test_a_failed_export_is_an_error_with_the_output_of_the_tool(tool: Path, project: Path) -> None:
    Path(f"{tool}.stale").touch()
    with pytest.raises(SettingsError) as caught:
        find_requirements(project, ())
    assert f"Can't export the requirements in {lock_file(tool, project).name}" in caught.value.what
    assert f"`{tool.name} " in caught.value.why
    assert "exited with code 1: the lock file is out of date" in caught.value.why


def test_a_tool_that_can_not_be_started_is_an_error(tool: Path, project: Path) -> None:
    tool.write_text("#!/no/such/interpreter\n")
    with pytest.raises(SettingsError, match=r"could not be started"):
        find_requirements(project, ())


def test_a_missing_tool_is_an_error_with_its_packages(
    tool: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(project))
    with pytest.raises(SettingsError) as caught:
        find_requirements(project, ())
    assert f"Can't read {lock_file(tool, project).name} without {tool.name}" in caught.value.what
    assert f"pip install {tool.name}" in caught.value.fix


def test_requirements_txt_takes_precedence_over_lock_files(tool: Path, project: Path) -> None:
    (project / "requirements.txt").write_text("scipy\n")
    assert find_requirements(project, ()).lines == ("scipy",)
    assert not Path(f"{tool}.calls").exists()


def test_lock_files_take_precedence_over_static_declarations(tool: Path, project: Path) -> None:
    (project / "setup.cfg").write_text("[options]\ninstall_requires = scipy\n")
    assert find_requirements(project, ()).lines[0].startswith("numpy==")


def test_a_package_in_a_folder_of_this_machine_is_an_error(tool: Path, project: Path) -> None:
    (project / "exported.txt").write_text(f"mine @ {project.as_uri()}\n")
    with pytest.raises(SettingsError, match="a file on this machine"):
        find_requirements(project, ())


@pytest.mark.parametrize("tool", ["pipenv"], indirect=True)
def test_packages_in_categories_of_a_pipfile_are_stated_or_an_error(
    tool: Path, project: Path
) -> None:
    with (project / "Pipfile").open("a") as file:
        file.write("[train]\ntorch = '*'\n")
    assert find_requirements(project, ()).source == "Pipfile.lock, without category train"
    (project / "exported.txt").write_text("-i https://example.com/simple\n")
    with pytest.raises(SettingsError, match="only in categories"):
        find_requirements(project, ())


@pytest.mark.parametrize("tool", ["poetry"], indirect=True)
def test_packages_only_in_groups_of_poetry_are_an_error(tool: Path, project: Path) -> None:
    (project / "pyproject.toml").write_text("[tool.poetry.group.train.dependencies]\ntorch = '*'\n")
    (project / "exported.txt").write_text("")
    with pytest.raises(SettingsError, match=r"by default: group train in pyproject\.toml"):
        find_requirements(project, ())


@pytest.fixture
def uv_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a lock file of uv, which finds its packages in a folder."""
    pytest.importorskip("uv", reason="uv is not installed")
    monkeypatch.setenv("UV_OFFLINE", "1")
    (project / "wheels").mkdir()
    for name in ("small", "large", "other"):
        write_wheel(project / "wheels", name)
    (project / "pyproject.toml").write_text(PYPROJECT)
    lock(project)
    return project


def write_wheel(folder: Path, name: str) -> None:
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def lock(project: Path) -> None:
    subprocess.run([*uv_command(), "lock", "--quiet"], cwd=project, check=True)


def packages(lines: tuple[str, ...]) -> list[str]:
    return [line for line in lines if not line.startswith("-")]


def test_uv_exports_the_versions_of_its_lock_file(uv_project: Path) -> None:
    requirements = find_requirements(uv_project, ())
    assert packages(requirements.lines) == ["small==1.0"]
    assert requirements.source == "uv.lock, without group train"
    assert any(line == "--extra-index-url wheels" for line in requirements.lines)


def test_uv_exports_the_default_groups_of_the_project(uv_project: Path) -> None:
    text = f"{PYPROJECT}\n[tool.uv]\ndefault-groups = ['train']\n"
    (uv_project / "pyproject.toml").write_text(text)
    lock(uv_project)
    requirements = find_requirements(uv_project, ())
    assert packages(requirements.lines) == ["large==1.0", "small==1.0"]
    assert requirements.source == "uv.lock"


def test_a_lock_file_of_uv_that_is_out_of_date_is_an_error(uv_project: Path) -> None:
    text = PYPROJECT.replace('"small"', '"small", "large"')
    (uv_project / "pyproject.toml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        find_requirements(uv_project, ())
    assert caught.value.what == "Can't export the requirements in uv.lock"
    assert "needs to be updated" in caught.value.why


def test_an_empty_project_of_uv_declares_nothing(uv_project: Path) -> None:
    (uv_project / "pyproject.toml").write_text("[project]\nname = 'demo'\nversion = '0'\n")
    lock(uv_project)
    assert find_requirements(uv_project, ()).source == "nothing: the project declares no packages"


def test_without_uv_the_lock_file_is_an_error(
    uv_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(uv_project))
    with pytest.raises(SettingsError, match=r"(?s)Can't read uv\.lock without uv.*pip install uv"):
        find_requirements(uv_project, ())
