"""Dependencies in a project's packaging metadata: pyproject.toml, setup.cfg and setup.py."""

from __future__ import annotations

import ast
import configparser
import re
from pathlib import Path

from flowyml_aws.core.distributions import normalized
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.images.requirements.files import read_lines
from flowyml_aws.images.requirements.lines import INSTEAD, Requirements, check_line
from flowyml_aws.images.requirements.pyproject import Pyproject
from flowyml_aws.packaging.pip_syntax import logical_lines

__all__ = ["from_project_table", "from_setuptools"]

_WRITE = f"write them to requirements.txt, or {INSTEAD}"


def from_project_table(root: Path, pyproject: Pyproject) -> Requirements | None:
    """Return the dependencies in pyproject.toml (PEP 621); None if it has none.

    Raises:
        SettingsError: They are malformed, or only a build backend or uv knows them.
    """
    project = pyproject.table("project")
    if "dependencies" in project.get("dynamic", ()):
        return _dynamic(root, pyproject)
    dependencies = project.get("dependencies", [])
    if not isinstance(dependencies, list):
        raise SettingsError(
            what="Invalid dependencies in pyproject.toml",
            why="project.dependencies must be a list of strings",
            fix="correct it",
        )
    source = "dependencies in pyproject.toml"
    lines = tuple(check_line(line, source) for line in dependencies)
    sources = {normalized(name) for name in pyproject.table("tool.uv.sources")}
    for line in lines:
        if (name := normalized(_name(line))) in sources:
            raise SettingsError(
                what=f"Can't read the source of {name} in pyproject.toml",
                why="tool.uv.sources says where it comes from, which only uv can resolve",
                fix=f"run `uv lock` in this folder, or {INSTEAD}",
            )
    return Requirements(lines, (), source) if lines else None


def from_setuptools(root: Path, pyproject: Pyproject) -> Requirements | None:
    """Return the dependencies in setup.cfg; None if neither it nor setup.py declares any.

    Raises:
        SettingsError: setup.cfg is malformed, or setup.py computes the dependencies.
    """
    value = _install_requires(root / "setup.cfg")
    if value.startswith("file:"):
        names = value.removeprefix("file:").split(",")
        return read_lines([f"-r {name.strip()}" for name in names], root, "setup.cfg")
    if value:
        lines = logical_lines(value) if "\n" in value else value.split(";")
        return read_lines([line.strip() for line in lines], root, "setup.cfg")
    if _may_declare(root / "setup.py"):
        raise SettingsError(
            what="Can't read the project's dependencies",
            why="setup.py declares them: they are known only when it runs",
            fix=_WRITE,
        )
    return None


def _dynamic(root: Path, pyproject: Pyproject) -> Requirements:
    """Return the dependencies that setuptools reads from files or from setup.cfg."""
    files = pyproject.table("tool.setuptools.dynamic.dependencies").get("file", ())
    names = [files] if isinstance(files, str) else files
    if names:
        return read_lines([f"-r {name}" for name in names], root, "pyproject.toml")
    if (requirements := from_setuptools(root, pyproject)) is not None:
        return requirements
    raise SettingsError(
        what="Can't read the project's dependencies",
        why="pyproject.toml declares them as dynamic: only its build backend knows them",
        fix=_WRITE,
    )


def _install_requires(file: Path) -> str:
    parser = configparser.RawConfigParser()
    try:
        parser.read(file, "utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise SettingsError(
            what="Can't read setup.cfg", why=str(error), fix="correct its syntax"
        ) from error
    names = ("install_requires", "install-requires")
    return next((text for name in names if (text := _option(parser, name))), "")


def _option(parser: configparser.RawConfigParser, name: str) -> str:
    return parser.get("options", name, fallback="").strip()


def _may_declare(file: Path) -> bool:
    """Return whether a call in setup.py passes `install_requires`, or a mapping that may do so."""
    if not file.is_file():
        return False
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return True
    keywords = (node for node in ast.walk(tree) if isinstance(node, ast.keyword))
    return any(keyword.arg in (None, "install_requires") for keyword in keywords)


def _name(line: str) -> str:
    found = re.match(r"[\w.-]+", line)
    return found[0] if found else ""
