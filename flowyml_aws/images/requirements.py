"""What a project needs from the package index, as one finds it in the project."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.pip_syntax import logical_lines

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Requirements", "find_requirements"]

_FILE = "requirements.txt"
_INSTEAD = "name what the image needs in the setting `image_requirements`"
# What pip takes besides requirements, and an image can be made with.
_OPTIONS = (
    "--index-url",
    "-i",
    "--extra-index-url",
    "--no-index",
    "--pre",
    "--prefer-binary",
    "--only-binary",
    "--no-binary",
    "--require-hashes",
)


@dataclass(frozen=True, slots=True)
class Requirements:
    """Lines in pip's syntax.

    Attributes:
        lines: To install.
        constraints: Versions that hold if something needs the package.
        source: Where they stand, for people.
    """

    lines: tuple[str, ...]
    constraints: tuple[str, ...]
    source: str


def find_requirements(root: Path, named: tuple[str, ...]) -> Requirements:
    """What the setting names, else what `requirements.txt` says, else the project's dependencies.

    Args:
        root: The project's root.
        named: The setting `image_requirements`.

    Raises:
        SettingsError: A file is missing or malformed, or a line needs more than a package index.
    """
    if named:
        checked = tuple(_checked(line, "the setting `image_requirements`") for line in named)
        return Requirements(checked, (), "the setting image_requirements")
    if (file := root / _FILE).is_file():
        constraints: list[str] = []
        lines = tuple(_read(file, constraints, ()))
        return Requirements(lines, tuple(constraints), _FILE)
    project = _project_table(root / "pyproject.toml")
    if "dependencies" in project.get("dynamic", ()):
        raise SettingsError(
            what="The project's dependencies are not known",
            why="pyproject.toml declares them dynamic: only its build tool can tell them",
            fix=f"write them to {_FILE}, or {_INSTEAD}",
        )
    dependencies = project.get("dependencies")
    if dependencies is None:
        return Requirements((), (), f"nothing: neither {_FILE} nor dependencies in pyproject.toml")
    told = "dependencies in pyproject.toml"
    return Requirements(tuple(_checked(line, told) for line in dependencies), (), told)


def _read(file: Path, constraints: list[str], opened: tuple[Path, ...]) -> Iterator[str]:
    where = file.name
    if file in opened:
        raise SettingsError(
            what=f"{where} includes itself", why="by its lines `-r`", fix="take one of them out"
        )
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        by = f", which {opened[-1].name} includes," if opened else ""
        raise SettingsError(
            what=f"{where}{by} can't be read", why=str(error), fix="correct its name or its text"
        ) from error
    for line in logical_lines(text):
        option = re.match(r"(-r|--requirement|-c|--constraint)(?:[ =]|(?<=-[rc]))\s*(.+)", line)
        if option is None:
            yield _checked(line, where)
        elif option[1] in ("-r", "--requirement"):
            yield from _read(file.parent / option[2], constraints, (*opened, file))
        else:
            constraints += _read(file.parent / option[2], constraints, (*opened, file))


def _checked(line: Any, where: str) -> str:
    if not isinstance(line, str) or "\n" in line:
        raise SettingsError(
            what=f"{line!r} in {where} is no requirement",
            why="it must be a text on one line, such as 'numpy>=2'",
            fix="correct it",
        )
    word = re.split(r"[ =]", line, maxsplit=1)[0]
    if word.startswith("-") and word not in _OPTIONS:
        is_local = word in ("-e", "--editable", "-f", "--find-links")
        raise SettingsError(
            what=f"{line!r} in {where} can't go into an image",
            why="it names what lies on this machine; your project's own code travels with each run"
            if is_local
            else f"of pip's options an image takes {', '.join(_OPTIONS)}",
            fix=f"take it out, or {_INSTEAD}",
        )
    if re.match(r"\.{0,2}/|~/|.*@\s*file:|file:|[A-Za-z]:\\|[^ ]+\.whl$", line):
        raise SettingsError(
            what=f"{line!r} in {where} can't go into an image",
            why="it names a file of this machine",
            fix=f"publish it where pip finds it, put its code into the project, or {_INSTEAD}",
        )
    if (
        re.search(r"://[^/\s@]+@", line)
        and not line.startswith("git+ssh")
        and "git+ssh" not in line
    ):
        raise SettingsError(
            what=f"A line in {where} has a user or a password in its address",
            why="whoever may pull the image could read it there",
            fix="write the address to a pip.conf, and name that in the variable PIP_CONFIG_FILE: "
            "it is used for the build and does not stay in the image",
        )
    return line


def _project_table(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        table = tomllib.loads(file.read_text("utf-8")).get("project", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(
            what=f"{file} can't be read", why=str(error), fix="correct its TOML"
        ) from error
    dependencies = table.get("dependencies", []) if isinstance(table, dict) else None
    if not isinstance(dependencies, list):
        raise SettingsError(
            what=f"{file} has malformed dependencies",
            why="project.dependencies must be a list of texts",
            fix="correct it",
        )
    return dict(table)
