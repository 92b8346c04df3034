"""Temporary files of the tests in memory: a disk takes much longer to delete many small files."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import psutil

__all__ = ["move_temporary_files", "remove_folders_of_ended_runs"]

MEMORY = Path("/dev/shm")
PREFIX = "flowyml-aws-tests-"
# Much more than a run of all tests writes.
ROOM_BYTES = 6 * 2**30


def move_temporary_files() -> Path | None:
    """Let this process and its children create temporary files in memory.

    Returns:
        The new folder, or None if nothing was changed: `TMPDIR` is set, this machine has no file
        system in memory or too little room in it, or programs can't be executed there.
    """
    if "TMPDIR" in os.environ or not is_suitable(MEMORY):
        return None
    remove_folders_of_ended_runs(MEMORY)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=MEMORY))
    folder.chmod(0o1777)  # as /tmp: jobs can run as other users
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    return folder


def is_suitable(memory: Path) -> bool:
    """Return whether the tests can use a file system in memory."""
    if not os.access(memory, os.W_OK | os.X_OK):
        return False
    system = os.statvfs(memory)
    room = min(system.f_bavail * system.f_frsize, psutil.virtual_memory().available)
    return room >= ROOM_BYTES and not system.f_flag & os.ST_NOEXEC


def remove_folders_of_ended_runs(memory: Path) -> None:
    """Remove the folders that failed runs have left."""
    for folder in memory.glob(f"{PREFIX}*"):
        number = folder.name.removeprefix(PREFIX).partition("-")[0]
        if number.isdecimal() and not psutil.pid_exists(int(number)):
            shutil.rmtree(folder, ignore_errors=True)
