"""Dependencies in pyproject.toml, setup.cfg and setup.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.images.requirements.find import find_requirements


def test_dependencies_are_read_from_pyproject(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\ndependencies = ['scipy', 'pandas>=2']\n")
    requirements = find_requirements(tmp_path, ())
    assert (requirements.lines, requirements.source) == (
        ("scipy", "pandas>=2"),
        "dependencies in pyproject.toml",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[project]\ndynamic = ['dependencies']\n", "declares them as dynamic"),
        ("[project]\ndependencies = 'numpy'\n", "must be a list"),
        ("[project\n", "Can't read"),
    ],
)
def test_a_pyproject_without_readable_dependencies_is_an_error(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        find_requirements(tmp_path, ())
    assert message in str(caught.value)


def write_setup_cfg(project: Path, install_requires: str) -> None:
    text = f"[metadata]\nname = demo\n\n[options]\ninstall_requires ={install_requires}\n"
    (project / "setup.cfg").write_text(text)


@pytest.mark.parametrize("text", ["\n    numpy>=2\n    # why\n    scipy", " numpy>=2; scipy"])
def test_dependencies_are_read_from_setup_cfg(tmp_path: Path, text: str) -> None:
    write_setup_cfg(tmp_path, text)
    (tmp_path / "setup.py").write_text("from setuptools import setup\nsetup()\n")
    requirements = find_requirements(tmp_path, ())
    assert (requirements.lines, requirements.source) == (("numpy>=2", "scipy"), "setup.cfg")


def test_the_file_that_setup_cfg_names_is_read(tmp_path: Path) -> None:
    write_setup_cfg(tmp_path, " file: deps.txt")
    (tmp_path / "deps.txt").write_text("numpy\n")
    assert find_requirements(tmp_path, ()).lines == ("numpy",)


def test_setup_cfg_with_settings_of_other_tools_declares_nothing(tmp_path: Path) -> None:
    (tmp_path / "setup.cfg").write_text("[flake8]\nmax-line-length = 100\n")
    assert find_requirements(tmp_path, ()).source.startswith("nothing")


@pytest.mark.parametrize(
    "code",
    [
        "from setuptools import setup\nsetup(install_requires=['numpy'])\n",
        "from setuptools import setup\nsetup(**metadata)\n",
        "print 'Python 2'\n",
    ],
)
def test_dependencies_that_setup_py_may_declare_are_an_error(tmp_path: Path, code: str) -> None:
    (tmp_path / "setup.py").write_text(code)
    with pytest.raises(SettingsError, match=r"setup\.py declares them"):
        find_requirements(tmp_path, ())


def test_setup_py_without_dependencies_declares_nothing(tmp_path: Path) -> None:
    (tmp_path / "setup.py").write_text("from setuptools import setup\nsetup(name='demo')\n")
    assert find_requirements(tmp_path, ()).source.startswith("nothing")


def test_a_malformed_setup_cfg_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "setup.cfg").write_text("install_requires = numpy\n")
    with pytest.raises(SettingsError, match=r"Can't read setup\.cfg"):
        find_requirements(tmp_path, ())


def test_dynamic_dependencies_are_read_from_the_files_of_setuptools(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        "[project]\ndynamic = ['dependencies']\n"
        "[tool.setuptools.dynamic]\ndependencies = {file = ['deps.in']}\n"
    )
    (tmp_path / "deps.in").write_text("numpy\n")
    assert find_requirements(tmp_path, ()).lines == ("numpy",)


def test_dynamic_dependencies_are_read_from_setup_cfg(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\ndynamic = ['dependencies']\n")
    write_setup_cfg(tmp_path, "\n    numpy")
    assert find_requirements(tmp_path, ()).lines == ("numpy",)


def test_a_dependency_whose_source_only_uv_knows_is_an_error_without_a_lock_file(
    tmp_path: Path,
) -> None:
    (tmp_path / "pyproject.toml").write_text(
        "[project]\ndependencies = ['My_Lib>=1']\n[tool.uv.sources]\nmy-lib = {path = '../lib'}\n"
    )
    with pytest.raises(SettingsError, match=r"(?s)source of my-lib .*uv lock"):
        find_requirements(tmp_path, ())
