"""Folders of the user's machine: a project's root, and those of this package for one user.

Source: XDG Base Directory Specification, which says that relative paths are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

__all__ = ["cache_folder", "project_root", "state_folder"]

_MARKERS = (".git", "pyproject.toml")
_NAME = "flowyml-aws"


def project_root(folder: Path) -> Path:
    """Return the nearest folder upwards with `.git` or `pyproject.toml`, or the folder itself."""
    parents = (folder, *folder.parents)
    return next((path for path in parents if any((path / m).exists() for m in _MARKERS)), folder)


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder for caches; refreshed catalogs have a subfolder per region.

    Raises:
        RuntimeError: The user has no home folder.
    """
    return _folder(environment, "XDG_CACHE_HOME", ".cache")


def state_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder for what outlives caches: the list of own runs, reports of bugs.

    Raises:
        RuntimeError: The user has no home folder.
    """
    return _folder(environment, "XDG_STATE_HOME", ".local/state")


def _folder(environment: Mapping[str, str], variable: str, default: str) -> Path:
    base = Path(environment.get(variable, ""))
    return (base if base.is_absolute() else Path.home() / default) / _NAME
