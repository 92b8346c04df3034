"""The user's project: its root, and its program as jobs load it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from flowyml_aws.core.folders import project_root
from flowyml_aws.core.modules import is_installed
from flowyml_aws.packaging.files import project_files
from flowyml_aws.packaging.located import located_modules
from flowyml_aws.runtime.program import Program
from flowyml_aws.runtime.snapshot import is_outside_name, outside_name
from flowyml_aws.scripts import main_script

__all__ = ["Project", "find_project", "is_installed", "project_files"]


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

    def program(
        self,
        in_place: bool,
        bundled: Mapping[str, Path] = MappingProxyType({}),
        imported: Mapping[str, Path] = MappingProxyType({}),
    ) -> Program:
        """Return the program of this process, as jobs load it.

        Args:
            in_place: Whether jobs run in the project's folder, and so can use any path.
            bundled: Files in the bundle of jobs elsewhere, by name.
            imported: Files of modules that the program imports, by name.
        """
        outside = [name for name, path in bundled.items() if not path.is_relative_to(self.root)]
        neighbors = [name for name in outside if is_outside_name(name)]

        def place(path: Path) -> str | None:
            """Return the path of a file or folder in jobs, or None if they do not have it."""
            for inside in (path, path.resolve()):
                if self.has(inside):
                    return inside.relative_to(self.root).as_posix()
            if in_place:
                return str(path)
            name = outside_name(path, self.root)
            is_bundled = any(each == name or each.startswith(f"{name}/") for each in neighbors)
            return name if is_bundled else None

        first = list(filter(None, map(place, self._before_python())))
        last = list(filter(None, map(place, self._after_python())))
        if len(neighbors) < len(outside):
            last.append(".")  # `include` adds other files at the top of the bundle
        search = [path for path in self.search if is_installed(path) or place(path) is not None]
        main = main_script()
        script = main[1] if main is not None and main[0] == self.root else None
        inside = self.folder.relative_to(self.root).as_posix() if self.has(self.folder) else "."
        return Program(
            paths=tuple(dict.fromkeys(first)),
            last_paths=tuple(dict.fromkeys(entry for entry in last if entry not in first)),
            folder=str(self.folder) if in_place else inside,
            script=script.path if script is not None else None,
            package=script.package if script is not None else None,
            arguments=tuple(sys.argv[1:]),
            modules=tuple(
                (name, entry)
                for name, path in located_modules(search, imported, place)
                if (entry := place(path)) is not None
            ),
        )

    def has(self, path: Path) -> bool:
        """Return whether a path is in the project, but not in a package installed there."""
        return path.is_relative_to(self.root) and not is_installed(path)

    def user_paths(self) -> tuple[Path, ...]:
        """Return the paths of `sys.path` that are not Python's or those of installed packages."""
        return (*self._before_python(), *self._after_python())

    def _before_python(self) -> tuple[Path, ...]:
        first = next((n for n, path in enumerate(self.search) if is_installed(path)), None)
        return self.search[:first]

    def _after_python(self) -> tuple[Path, ...]:
        before = len(self._before_python())
        return tuple(path for path in self.search[before:] if not is_installed(path))


def find_project(functions: Iterable[Any]) -> Project:
    """Return the project of the script, if it defines one of these functions.

    Otherwise return that of the first function that is defined in a file.
    """
    folder = Path.cwd()
    names = dict.fromkeys(filter(None, map(_file_name, functions)))
    files = [file for name in names if (file := _users_file(name)) is not None]
    main = main_script()
    if main is not None and (main[0] / main[1].path).resolve() in files:
        root = main[0]
    else:
        root = project_root(files[0].parent if files else folder)
    # Archives are included: modules can be imported from zip files.
    search = tuple(path for entry in sys.path if (path := Path(entry or ".").resolve()).exists())
    return Project(root, folder, search)


def _file_name(function: Any) -> str | None:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return None if code is None else str(code.co_filename)


def _users_file(name: str) -> Path | None:
    path = Path(name).resolve()
    if not path.is_file() or is_installed(path) or path.is_relative_to(_PACKAGE):
        return None
    return path


_PACKAGE = Path(__file__).resolve().parents[1]  # not always installed: a checkout
