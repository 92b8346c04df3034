"""The shared memory of a job that runs as a process, which can't have its own `/dev/shm`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flowyml_aws.testing.machines.disks import is_permitted, mount_memory, unmount

__all__ = ["shared_memory"]


@contextmanager
def shared_memory(folder: Path, size_mib: int) -> Iterator[Path]:
    """Mount a file system with the size of a job's `/dev/shm`, and yield its folder.

    Args:
        folder: Working directory of the job, next to which it is mounted.
        size_mib: Size in MiB.

    Raises:
        OSError: Mounting is not permitted here.
    """
    if not is_permitted():
        raise PermissionError("only root can mount file systems, and only on Linux")
    mounted = folder.with_name(f"{folder.name}.shm")
    mounted.mkdir()
    try:
        mount_memory(mounted, f"size={size_mib}m,mode=1777")
        try:
            yield mounted
        finally:
            unmount(mounted)
    finally:
        mounted.rmdir()
