"""Detection of changed files, from their metadata."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

__all__ = ["FileState", "file_state"]

_MAX_FILES = 10_000

FileState = tuple[tuple[str, int, int, int], ...]


def file_state(path: Path) -> FileState:
    """Return name, inode, size and change time of a file, or of the first files of a folder.

    Two states are equal if nothing wrote to the files in between. At most 10,000 files are
    examined. A path that does not exist has an empty state.
    """
    return tuple(islice(_states(path, ""), _MAX_FILES))


def _states(path: Path, name: str) -> Iterator[tuple[str, int, int, int]]:
    try:
        status = path.stat()
    except (OSError, ValueError):  # no such file, or not the name of a file
        return
    is_folder = path.is_dir()
    # The time of a folder changes with each file in it, and these are examined themselves.
    yield name, status.st_ino, 0 if is_folder else status.st_size, status.st_mtime_ns
    if is_folder and not path.is_symlink():
        with os.scandir(path) as entries:
            names = sorted(entry.name for entry in entries)
        for child in names:
            yield from _states(path / child, f"{name}/{child}")
