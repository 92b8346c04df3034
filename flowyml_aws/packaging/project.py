"""The user's project: its root, and the entries for a job's `sys.path`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowyml_aws.core.modules import is_installed
from flowyml_aws.packaging.files import project_files

__all__ = ["Project", "find_project", "is_installed", "project_files"]

_MARKERS = (".git", "pyproject.toml")


@dataclass(frozen=True, slots=True)
class Project:
    """Location of the user's code.

    Attributes:
        root: Nearest folder upwards with `.git` or `pyproject.toml`, or the script's folder.
        folder: Working directory of the client.
        search: Absolute paths of the client's `sys.path`, in order.
    """

    root: Path
    folder: Path
    search: tuple[Path, ...]

    def relative_paths(self) -> tuple[str, ...]:
        """Return the `sys.path` entries below the root: the client's in order, then defaults."""
        inside = [path.relative_to(self.root).as_posix() for path in self.search if self.has(path)]
        return tuple(dict.fromkeys((*inside, ".", "src")))

    def relative_folder(self) -> str:
        """Return the working directory below the root; the root if the client is elsewhere."""
        return self.folder.relative_to(self.root).as_posix() if self.has(self.folder) else "."

    def has(self, path: Path) -> bool:
        """Return whether a path is in the project, but not in a package installed there."""
        return path.is_relative_to(self.root) and not is_installed(path)


def find_project(functions: Iterable[Any]) -> Project:
    """Return the project of the first of these functions that is defined in a file."""
    folder = Path.cwd()
    script = next((f for function in functions if (f := _file_of(function)) is not None), None)
    start = script.parent if script else folder
    root = next(
        (path for path in (start, *start.parents) if any((path / m).exists() for m in _MARKERS)),
        start,
    )
    # Archives are included: modules can be imported from zip files.
    search = tuple(path for entry in sys.path if (path := Path(entry or ".").resolve()).exists())
    return Project(root, folder, search)


def _file_of(function: Any) -> Path | None:
    code = getattr(inspect.unwrap(function), "__code__", None)
    path = Path(code.co_filename) if code is not None else None
    if path is None or not path.is_file() or is_installed(path.resolve()):
        return None
    return path.resolve()
