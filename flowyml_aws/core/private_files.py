"""Folders and files that only the user can read, whatever the umask is."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["make_folder", "make_private_folder", "open_private"]

_FOLDER = ".flowyml"


def make_private_folder(folder: Path) -> None:
    """Create a folder with mode 0700, and its missing parents.

    A folder `.flowyml` that contains it becomes private, too, even if it exists. Other folders
    that exist keep their mode.
    """
    make_folder(folder, 0o700)
    for path in (folder, *folder.parents):
        if path.name == _FOLDER and path.stat().st_mode & 0o077:
            with suppress(PermissionError):  # it belongs to another user
                path.chmod(0o700)


def make_folder(folder: Path, mode: int) -> None:
    """Create a folder and its missing parents, all with the same mode."""
    try:
        folder.mkdir(mode, exist_ok=True)
    except FileNotFoundError:
        make_folder(folder.parent, mode)
        folder.mkdir(mode, exist_ok=True)


def open_private(path: str, flags: int) -> int:
    """Open a file that is created with mode 0600: an `opener` for `open`."""
    return os.open(path, flags, 0o600)
