"""Search for the requirements of a project's image, in the order of precedence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.images.requirements.conda import from_conda
from flowyml_aws.images.requirements.exporters import from_pipenv, from_poetry, from_uv
from flowyml_aws.images.requirements.files import read_lines
from flowyml_aws.images.requirements.lines import Requirements
from flowyml_aws.images.requirements.metadata import from_project_table, from_setuptools
from flowyml_aws.images.requirements.pyproject import Pyproject, read_pyproject

__all__ = ["find_requirements"]

_SETTING = "the setting `image_requirements`"
_FILE = "requirements.txt"
# In the order of precedence. Lock files are first: they have the versions of the other sources.
_SOURCES = (from_uv, from_poetry, from_pipenv, from_project_table, from_setuptools, from_conda)
# Declarations that no source reads.
_UNREAD_FILES = (
    "requirements*.in",
    "requirements*.txt",
    "requirements/*.in",
    "requirements/*.txt",
    "pylock*.toml",
    "pixi.toml",
)
_UNREAD_TABLES = (
    "tool.flit.metadata.requires",
    "tool.hatch.envs.default.dependencies",
    "tool.pixi.dependencies",
    "tool.pixi.pypi-dependencies",
)


def find_requirements(root: Path, named: tuple[str, ...]) -> Requirements:
    """Return the requirements of a project.

    The setting takes precedence, then `requirements.txt`, then lock files, then static
    declarations. The first source that lists packages is the only one.

    Args:
        root: Root of the project.
        named: Value of the setting `image_requirements`.

    Raises:
        SettingsError: The project declares packages that can't be read, or a line needs more than
            a package index.
    """
    if named:
        pyproject = read_pyproject(root) if any(map(_group, named)) else Pyproject({})
        lines = (line for entry in named for line in _selected(entry, pyproject))
        return read_lines(lines, root, _SETTING)
    if (root / _FILE).is_file():
        requirements = read_lines([f"-r {_FILE}"], root, _FILE)
        if requirements.is_empty:
            return replace(requirements, source=f"nothing: {_FILE} lists no packages")
        return requirements
    pyproject = read_pyproject(root)
    for source in _SOURCES:
        if (found := source(root, pyproject)) is not None:
            return replace(found, source=f"{found.source}{_without(found, pyproject)}")
    if (found := _from_single_group(pyproject)) is not None:
        return found
    if unread := tuple(_unread(root, pyproject)):
        raise SettingsError(
            what="Can't read the project's packages",
            why="no other file declares packages, and an image does not install these by default: "
            f"{', '.join(unread)}",
            fix="select them in the setting `image_requirements` (`-r FILE`, `--group NAME`, or "
            f"one requirement per entry); if jobs need no packages, create an empty {_FILE}",
        )
    return Requirements((), (), "nothing: the project declares no packages")


def _group(line: str) -> str | None:
    """Return the name in pip's option `--group NAME`, or None."""
    option = re.fullmatch(r"--group[ =]+(\S+)", line)
    return option[1] if option else None


def _selected(entry: str, pyproject: Pyproject) -> tuple[str, ...]:
    name = _group(entry)
    return (entry,) if name is None else pyproject.group(name)


def _from_single_group(pyproject: Pyproject) -> Requirements | None:
    """Return the packages of the only dependency group of a project without other metadata."""
    names = pyproject.group_names
    if pyproject.table("project") or pyproject.table("tool.poetry") or len(names) != 1:
        return None
    lines = pyproject.group(names[0])
    source = f"the dependency group {names[0]} in pyproject.toml"
    return Requirements(lines, (), source) if lines else None


def _without(found: Requirements, pyproject: Pyproject) -> str:
    """Return a note on the groups and extras that the requirements do not contain."""
    defaults = pyproject.get("tool.uv.default-groups") if found.source == "uv.lock" else None
    installed = pyproject.group_names if defaults == "all" else defaults or ()
    names = [
        name
        for name in pyproject.optional_names
        if name not in {f"group {group}" for group in installed}
    ]
    return f", without {', '.join(names)}" if names else ""


def _unread(root: Path, pyproject: Pyproject) -> Iterator[str]:
    """Yield the declarations of packages that no source reads."""
    yield from (f"{name} in pyproject.toml" for name in pyproject.optional_names)
    yield from (f"{path} in pyproject.toml" for path in _UNREAD_TABLES if pyproject.get(path))
    for pattern in _UNREAD_FILES:
        files = (file for file in root.glob(pattern) if file.is_file())
        yield from sorted(file.relative_to(root).as_posix() for file in files)
