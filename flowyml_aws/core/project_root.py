"""The root of the project that a file belongs to."""

from __future__ import annotations

from pathlib import Path

__all__ = ["project_root"]

_MARKERS = (".git", "pyproject.toml")


def project_root(folder: Path) -> Path:
    """Return the nearest folder upwards with `.git` or `pyproject.toml`, or the folder itself."""
    parents = (folder, *folder.parents)
    return next((path for path in parents if any((path / m).exists() for m in _MARKERS)), folder)
