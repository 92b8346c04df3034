"""pyproject.toml, and the groups of packages in it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowyml_aws.core.distributions import normalized
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.written import parse_toml
from flowyml_aws.images.requirements.lines import check_line

if sys.version_info >= (3, 11):
    pass
else:
    pass

__all__ = ["Pyproject", "read_pyproject", "read_toml"]

_FILE = "pyproject.toml"


@dataclass(frozen=True, slots=True)
class Pyproject:
    """The content of a project's pyproject.toml.

    Attributes:
        content: Parsed TOML; empty if the file does not exist.
    """

    content: Mapping[str, Any]

    def get(self, path: str) -> Any:
        """Return the value at a dotted path, or None."""
        value: Any = self.content
        for key in path.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    def table(self, path: str) -> Mapping[str, Any]:
        """Return the table at a dotted path; an empty one if it does not exist."""
        value = self.get(path)
        return value if isinstance(value, Mapping) else {}

    @property
    def group_names(self) -> tuple[str, ...]:
        """Names of the dependency groups of PEP 735."""
        return tuple(self.table("dependency-groups"))

    @property
    def optional_names(self) -> tuple[str, ...]:
        """Groups and extras that are not installed by default, except the group `dev`."""
        groups = dict.fromkeys(self.group_names) | dict(self.table("tool.poetry.group"))
        extras = dict(self.table("project.optional-dependencies"))
        extras |= self.table("tool.poetry.extras")
        names = [*(f"group {name}" for name in groups), *(f"extra {name}" for name in extras)]
        return tuple(name for name in names if name.partition(" ")[2] != "dev")

    def group(self, name: str) -> tuple[str, ...]:
        """Return the requirements of a dependency group, with the groups that it includes.

        Raises:
            SettingsError: The group does not exist, includes itself, or is malformed.
        """
        return tuple(self._group(name, ()))

    def _group(self, name: str, opened: tuple[str, ...]) -> Iterator[str]:
        groups = {normalized(key): value for key, value in self.table("dependency-groups").items()}
        key = normalized(name)
        if key in opened:
            raise SettingsError(
                what=f"Dependency group cycle: {' → '.join((*opened, key))}",
                why=f"these groups of {_FILE} include each other",
                fix="remove one `include-group`",
            )
        if not isinstance(groups.get(key), list):
            raise SettingsError(
                what=f"No dependency group {name!r} in {_FILE}",
                why=f"it contains these groups: {', '.join(sorted(groups)) or 'none'}",
                fix="correct the name, or add a list with this name to [dependency-groups]",
            )
        for entry in groups[key]:
            if isinstance(entry, dict) and list(entry) == ["include-group"]:
                yield from self._group(str(entry["include-group"]), (*opened, key))
            else:
                yield check_line(entry, f"the dependency group {name} of {_FILE}")


def read_pyproject(root: Path) -> Pyproject:
    """Return the content of a project's pyproject.toml, which may be missing.

    Raises:
        SettingsError: The file is not valid TOML.
    """
    file = root / _FILE
    return Pyproject(read_toml(file) if file.is_file() else {})


def read_toml(file: Path) -> dict[str, Any]:
    """Return the content of a TOML file.

    Raises:
        SettingsError: The file is not valid TOML.
    """
    try:
        return parse_toml(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(
            what=f"Can't read {file}", why=str(error), fix="correct its TOML syntax"
        ) from error
