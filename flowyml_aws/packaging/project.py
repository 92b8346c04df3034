"""The user's project: its root, and its program as jobs load it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowyml_aws.core.modules import is_installed, is_users_module
from flowyml_aws.core.project_root import project_root
from flowyml_aws.packaging.files import project_files
from flowyml_aws.runtime.program import Program
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

    def program(self, in_place: bool, has_outside_files: bool = False) -> Program:
        """Return the program of this process, as jobs load it.

        Args:
            in_place: Whether jobs run in the project's folder, and so can use any path.
            has_outside_files: Whether `include` adds files from outside the project, which are at
                the top of the bundle.
        """
        first = [self._entry(path) for path in self._before_python() if in_place or self.has(path)]
        last = [self._entry(path) for path in self._after_python() if in_place or self.has(path)]
        last += [self._entry(path) for path in self._other_homes()]
        if has_outside_files:
            last.append(".")
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
        )

    def has(self, path: Path) -> bool:
        """Return whether a path is in the project, but not in a package installed there."""
        return path.is_relative_to(self.root) and not is_installed(path)

    def user_paths(self) -> tuple[Path, ...]:
        """Return the paths of `sys.path` that are not Python's or those of installed packages."""
        return (*self._before_python(), *self._after_python(), *self._other_homes())

    def _entry(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix() if self.has(path) else str(path)

    def _before_python(self) -> tuple[Path, ...]:
        first = next((n for n, path in enumerate(self.search) if is_installed(path)), None)
        return self.search[:first]

    def _after_python(self) -> tuple[Path, ...]:
        before = len(self._before_python())
        return tuple(path for path in self.search[before:] if not is_installed(path))

    def _other_homes(self) -> Iterator[Path]:
        """Yield the folders of modules that were imported without `sys.path` (pytest, editable)."""
        for name, module in sorted(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if not isinstance(file, str) or name == "__main__" or not is_users_module(name):
                continue
            path = Path(file).resolve()
            parents = name.split(".") if path.stem == "__init__" else name.split(".")[:-1]
            home = path.parents[len(parents)] if len(parents) < len(path.parents) else path.parent
            is_named_so = (home.joinpath(*name.split("."))) in (path.with_suffix(""), path.parent)
            if self.has(path) and is_named_so and home not in self.search:
                yield home


def find_project(functions: Iterable[Any]) -> Project:
    """Return the project of the script, if it defines one of these functions.

    Otherwise return that of the first function that is defined in a file.
    """
    folder = Path.cwd()
    files = [file for function in functions if (file := _file_of(function)) is not None]
    main = main_script()
    if main is not None and main[0] / main[1].path in files:
        root = main[0]
    else:
        root = project_root(files[0].parent if files else folder)
    # Archives are included: modules can be imported from zip files.
    search = tuple(path for entry in sys.path if (path := Path(entry or ".").resolve()).exists())
    return Project(root, folder, search)


def _file_of(function: Any) -> Path | None:
    code = getattr(inspect.unwrap(function), "__code__", None)
    path = Path(code.co_filename) if code is not None else None
    if path is None or not path.is_file() or is_installed(path.resolve()):
        return None
    return path.resolve()
