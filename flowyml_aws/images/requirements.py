"""Requirements of a project: packages that its image installs."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.pip_syntax import decode, logical_lines

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Requirements", "find_requirements"]

_FILE = "requirements.txt"
_INSTEAD = "list the requirements of the image in the setting `image_requirements`"
# pip options that are allowed in requirements of an image.
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
    """Requirements and constraints in pip's syntax.

    Attributes:
        lines: Requirements to install.
        constraints: Versions of packages, if another requirement needs them.
        source: Description of the source, for messages.
    """

    lines: tuple[str, ...]
    constraints: tuple[str, ...]
    source: str


def find_requirements(root: Path, named: tuple[str, ...]) -> Requirements:
    """Return the requirements of a project.

    The setting comes first, then `requirements.txt`, then the dependencies in `pyproject.toml`.

    Args:
        root: Root of the project.
        named: Value of the setting `image_requirements`.

    Raises:
        SettingsError: A file is missing or malformed, or a line needs more than a package index.
    """
    if named:
        checked = tuple(_check_line(line, "the setting `image_requirements`") for line in named)
        return Requirements(checked, (), "the setting image_requirements")
    if (file := root / _FILE).is_file():
        constraints: list[str] = []
        lines = tuple(_read(file, constraints, ()))
        return Requirements(lines, tuple(constraints), _FILE)
    project = _project_table(root / "pyproject.toml")
    if "dependencies" in project.get("dynamic", ()):
        raise SettingsError(
            what="Can't read the project's dependencies",
            why="pyproject.toml declares them as dynamic: only its build backend knows them",
            fix=f"write them to {_FILE}, or {_INSTEAD}",
        )
    dependencies = project.get("dependencies")
    if dependencies is None:
        return Requirements((), (), f"nothing: neither {_FILE} nor dependencies in pyproject.toml")
    source = "dependencies in pyproject.toml"
    return Requirements(tuple(_check_line(line, source) for line in dependencies), (), source)


def _read(file: Path, constraints: list[str], opened: tuple[Path, ...]) -> Iterator[str]:
    name = file.name
    if file in opened:
        raise SettingsError(
            what=f"{name} includes itself",
            why="its `-r` or `-c` lines form a cycle",
            fix="remove one of these lines",
        )
    try:
        text = decode(file.read_bytes())
    except (OSError, UnicodeDecodeError, LookupError) as error:
        parent = f" (included by {opened[-1].name})" if opened else ""
        raise SettingsError(
            what=f"Can't read {name}{parent}",
            why=str(error),
            fix="correct the name or the contents of the file",
        ) from error
    for line in logical_lines(text):
        option = re.match(r"(-r|--requirement|-c|--constraint)(?:[ =]|(?<=-[rc]))\s*(.+)", line)
        if option is None:
            yield _check_line(line, name)
        elif option[1] in ("-r", "--requirement"):
            yield from _read(file.parent / option[2], constraints, (*opened, file))
        else:
            constraints += _read(file.parent / option[2], constraints, (*opened, file))


def _check_line(line: Any, source: str) -> str:
    if not isinstance(line, str) or "\n" in line:
        raise SettingsError(
            what=f"Invalid requirement {line!r} in {source}",
            why="it must be a string on one line, such as 'numpy>=2'",
            fix="correct it",
        )
    option = re.split(r"[ =]", line, maxsplit=1)[0]
    if option.startswith("-") and option not in _OPTIONS:
        is_local = option in ("-e", "--editable", "-f", "--find-links")
        raise SettingsError(
            what=f"Unsupported requirement {line!r} in {source}",
            why="it refers to files on this machine; the code of your project is sent with each run"
            if is_local
            else f"requirements of an image support only the pip options {', '.join(_OPTIONS)}",
            fix=f"remove it, or {_INSTEAD}",
        )
    if re.match(r"\.{0,2}/|~/|.*@\s*file:|file:|[A-Za-z]:\\|[^ ]+\.whl$", line):
        raise SettingsError(
            what=f"Unsupported requirement {line!r} in {source}",
            why="it refers to a file on this machine",
            fix=f"publish it to a package index, put its code into the project, or {_INSTEAD}",
        )
    if (
        re.search(r"://[^/\s@]+@", line)
        and not line.startswith("git+ssh")
        and "git+ssh" not in line
    ):
        raise SettingsError(
            what=f"A line in {source} contains a user name or a password in its URL",
            why="everyone who can pull the image could read it",
            fix="put the URL into a pip.conf and set PIP_CONFIG_FILE to its path: "
            "it is used during the build and is not stored in the image",
        )
    return line


def _project_table(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        table = tomllib.loads(file.read_text("utf-8")).get("project", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(
            what=f"Can't read {file}", why=str(error), fix="correct its TOML syntax"
        ) from error
    dependencies = table.get("dependencies", []) if isinstance(table, dict) else None
    if not isinstance(dependencies, list):
        raise SettingsError(
            what=f"Invalid dependencies in {file}",
            why="project.dependencies must be a list of strings",
            fix="correct it",
        )
    return dict(table)
