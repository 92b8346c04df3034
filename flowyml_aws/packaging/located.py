"""Modules that the `sys.path` of jobs does not lead to, although this process has them.

pytest imports test modules by their files; editable installs have finders of their own; and the
folder of a project can itself be a package, whose parent folder jobs do not have.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from flowyml_aws.core.modules import is_users_module

__all__ = ["located_modules"]


def located_modules(
    search: Sequence[Path],
    imported: Mapping[str, Path],
    place: Callable[[Path], str | None],
) -> Iterator[tuple[str, Path]]:
    """Yield the names and files of modules that jobs must import by their file.

    For a namespace package, yield its folder. The modules of a package follow from the package.

    Args:
        search: Folders of `sys.path` in jobs, as paths of this process.
        imported: Files of modules that the program imports, by name.
        place: Returns the location of a path in jobs, or None if they do not have it.
    """
    folders: dict[str, Sequence[Path]] = {}  # of each package, in jobs
    for name, paths in sorted({**_modules_here(), **_as_lists(imported)}.items()):
        paths = [path for path in paths if path.exists() and place(path) is not None]
        if not paths:
            continue
        parent, _, last = name.rpartition(".")
        first, namespace = _find(last, folders.get(parent, ()) if parent else search)
        if paths[0].is_dir():
            if first is not None or not _resolved(paths) <= _resolved(namespace):
                yield name, paths[0]
                namespace = paths[:1]
            folders[name] = namespace
        else:
            if first is None or first.resolve() != paths[0].resolve():
                yield name, paths[0]
            if paths[0].name == "__init__.py":
                folders[name] = [paths[0].parent]


def _resolved(paths: Sequence[Path]) -> set[Path]:
    return {path.resolve() for path in paths}


def _as_lists(files: Mapping[str, Path]) -> dict[str, list[Path]]:
    return {name: [path] for name, path in files.items()}


def _modules_here() -> dict[str, list[Path]]:
    """Return the file of each of the user's modules, or the folders of a namespace package."""
    modules = {}
    for name, module in list(sys.modules.items()):
        if name == "__main__" or name.startswith("flowyml_aws.") or not is_users_module(name):
            continue
        file = getattr(module, "__file__", None)
        paths = [file] if isinstance(file, str) else list(getattr(module, "__path__", ()))
        modules[name] = [Path(path).absolute() for path in paths]
    return modules


def _find(name: str, folders: Sequence[Path]) -> tuple[Path | None, Sequence[Path]]:
    """Return the first file of a module, and the folders of a namespace package."""
    namespace: list[Path] = []
    for folder in folders:
        for file in (folder / name / "__init__.py", folder / f"{name}.py"):
            if file.is_file():
                return file, namespace
        if (folder / name).is_dir():
            namespace.append(folder / name)
    return None, namespace
