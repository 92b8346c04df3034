"""Detection of the user's code, as opposed to the standard library and installed packages."""

from __future__ import annotations

import importlib.util
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import FunctionType
from typing import Any

__all__ = [
    "SCRIPTS",
    "absolute_name",
    "find_module_file",
    "installation_times",
    "is_installed",
    "is_users_function",
    "is_users_module",
    "module_label",
]

SCRIPTS = "flowyml_aws.scripts."
"""Prefix of the names of scripts as modules (see `flowyml_aws.scripts`)."""

_SELF = __name__.partition(".")[0]
_PACKAGE_FOLDERS = frozenset({"site-packages", "dist-packages"})


def is_installed(path: Path) -> bool:
    """Return whether a path belongs to the interpreter or to an installed package."""
    return bool(_PACKAGE_FOLDERS & set(path.parts)) or any(
        path.is_relative_to(home) for home in _homes()
    )


def installation_times() -> list[tuple[str, int]]:
    """Return the times of the last installation into each folder of packages, in nanoseconds."""
    return [
        (entry, Path(entry).stat().st_mtime_ns)
        for entry in sys.path
        if entry and is_installed(Path(entry)) and Path(entry).is_dir()
    ]


def is_users_module(name: object) -> bool:
    """Return whether a module is the user's code, which includes editable installs."""
    if not isinstance(name, str):
        return False
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if file is None and module is not None and name != "__main__":
        # A namespace package has a path; a module without a file or path was created by C code.
        file = next(iter(getattr(module, "__path__", ())), None)
        return file is not None and _is_users(name, file)
    return _is_users(name, file)


def is_users_function(function: FunctionType) -> bool:
    """Return whether a function's code is the user's.

    The module that defines the code decides, not `__module__`, which decorators copy.
    """
    names = function.__globals__
    return _is_users(names.get("__name__"), names.get("__file__"))


def module_label(names: Mapping[str, Any]) -> str:
    """Return a module's name from its globals; for a script, the name that an import would use."""
    name = str(names.get("__name__", "?"))
    if name != "__main__" and not name.startswith(SCRIPTS):
        return name
    spec, file = names.get("__spec__"), names.get("__file__")
    if name == "__main__" and isinstance(spec, ModuleSpec):
        return spec.name
    return Path(file).stem if isinstance(file, str) else name


def absolute_name(module: str, level: int, names: Mapping[str, Any]) -> str | None:
    """Resolve the module name of an import statement in a module with these globals."""
    if not level:
        return module
    spec = names.get("__spec__")
    package = names.get("__package__") or (spec.parent if isinstance(spec, ModuleSpec) else None)
    try:
        return importlib.util.resolve_name("." * level + module, package or "")
    except ImportError:
        return None  # the import would fail, too


def find_module_file(name: str) -> Path | None:
    """Return the file of one of the user's modules, without importing anything.

    Returns None if the module is not the user's, does not exist, or has no file.
    """
    file = getattr(sys.modules.get(name), "__file__", None) or _origin(name)
    return Path(file) if isinstance(file, str) and _is_users(name, file) else None


def _is_users(name: object, file: object) -> bool:
    if not isinstance(name, str):
        return False
    if name.partition(".")[0] == _SELF and not name.startswith(SCRIPTS):
        return False
    if isinstance(file, str):
        return not _is_installed_file(file)
    return name.partition(".")[0] not in sys.stdlib_module_names


@lru_cache(maxsize=4096)
def _is_installed_file(file: str) -> bool:
    path = Path(file)
    return is_installed(path) or is_installed(path.resolve())


@lru_cache(maxsize=1)
def _homes() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    homes = [Path(paths[key]) for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    return tuple(dict.fromkeys((*homes, *(home.resolve() for home in homes))))


def _origin(name: str) -> str | None:
    # `importlib.util.find_spec` would import the parents of a dotted name.
    search: Sequence[str] | None = None
    spec: ModuleSpec | None = None
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        if end > 1 and search is None:
            return None  # the parent is not a package
        spec = _find(".".join(parts[:end]), search)
        if spec is None:
            return None
        search = spec.submodule_search_locations
    return spec.origin if spec is not None else None


def _find(name: str, search: Sequence[str] | None) -> ModuleSpec | None:
    for finder in sys.meta_path:
        try:
            spec = finder.find_spec(name, search)
        except KeyError:  # a namespace package in a package that is not imported
            return _namespace(name, search or ())
        if spec is not None:
            return spec
    return None


def _namespace(name: str, search: Sequence[str]) -> ModuleSpec:
    folders = [Path(folder, name.rpartition(".")[2]) for folder in search]
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = [str(folder) for folder in folders if folder.is_dir()]
    return spec
