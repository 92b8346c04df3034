"""Advice for exceptions that report a full disk."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from flowyml_aws.core.emulated import SHARED_MEMORY_VARIABLE

__all__ = ["chain", "full_disk_advice"]

_TEXT = os.strerror(errno.ENOSPC)
_SHARED_MEMORY = "/dev/shm"
_MAX_CHAIN = 20  # exceptions that are looked at
_GIB = 2**30


def full_disk_advice(error: BaseException) -> str:
    """Return which disk is full and what to do, or "" if the exception reports something else.

    Libraries raise other exceptions than OSError, with the text of the system's error.
    """
    for part in chain(error):
        is_full = isinstance(part, OSError) and part.errno == errno.ENOSPC
        # Not `str`: its code may be the user's.
        if is_full or any(isinstance(text, str) and _TEXT in text for text in part.args):
            name = part.filename if isinstance(part, OSError) else None
            return _advice(Path(os.fsdecode(name)) if isinstance(name, str | bytes) else Path.cwd())
    return ""


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and its causes."""
    part: BaseException | None = error
    for _ in range(_MAX_CHAIN):
        if part is None:
            return
        yield part
        part = part.__cause__ or part.__context__


def _advice(path: Path) -> str:
    folder = path.absolute()
    while not folder.exists():
        folder = folder.parent
    total_gib = shutil.disk_usage(folder).total / _GIB
    if folder.is_relative_to(os.environ.get(SHARED_MEMORY_VARIABLE) or _SHARED_MEMORY):
        return (
            f"shared memory ({folder}) has {total_gib:.1f} GiB, half of the memory of the job: "
            "request more `memory`"
        )
    return (
        f"the disk of {folder} has {total_gib:.1f} GiB, which other jobs of the instance may use, "
        "too: request more with `storage=` in the resources of the step, or write less"
    )
