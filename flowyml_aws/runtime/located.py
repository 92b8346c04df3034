"""Modules that `sys.path` does not lead to, by their files.

Such are the modules that pytest imports by path, those of an editable install, and the package
whose folder is the project itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

__all__ = ["import_by_file"]


def import_by_file(
    modules: Mapping[str, Path], loader_of: Callable[[str, Path], SourceFileLoader | None]
) -> None:
    """Import modules from their files from now on, whatever `sys.path` contains.

    Args:
        modules: File of each module, or folder of a namespace package, by name.
        loader_of: Returns the loader of a module from its name and file; None for Python's own.
    """
    if modules:
        sys.meta_path.insert(0, _Finder(modules, loader_of))
        sys.meta_path.append(_ParentFinder(modules))


class _Finder:
    def __init__(
        self,
        modules: Mapping[str, Path],
        loader_of: Callable[[str, Path], SourceFileLoader | None],
    ) -> None:
        self._modules, self._loader_of = modules, loader_of

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        file = self._modules.get(fullname)
        if file is None:
            return None
        if file.is_dir():
            return _namespace(fullname, [str(file)])
        return spec_from_file_location(
            fullname,
            file,
            loader=self._loader_of(fullname, file),
            submodule_search_locations=[str(file.parent)] if file.name == "__init__.py" else None,
        )


class _ParentFinder:
    """Finds the packages of located modules that have no folder."""

    def __init__(self, modules: Mapping[str, Path]) -> None:
        self._parents = {
            name[:end] for name in modules for end, letter in enumerate(name) if letter == "."
        }

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return _namespace(fullname, []) if fullname in self._parents else None


def _namespace(name: str, folders: list[str]) -> ModuleSpec:
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = folders
    return spec
