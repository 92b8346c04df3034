"""Disks of the emulated instances: file systems of limited size, which the jobs on one share.

A disk is a tmpfs, so the emulator must be root on Linux. What jobs write is in memory then: a disk
that is larger than the available memory is not limited, and neither is one that is larger than the
free space of this machine's own disk, which is the limit in this case.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from flowyml_aws.catalog.disk import DEFAULT_VOLUME_GIB, RESERVED_GIB
from flowyml_aws.testing.machines.launch_templates import launch_template

__all__ = ["Disks", "free_gib", "is_permitted", "mount_memory", "unmount"]

_GIB = 2**30
_MS_NOATIME = 1024
_MNT_DETACH = 2
_PROBE = "probe"


def free_gib(resources: Mapping[str, Any], region: str) -> int:
    """Return the GiB for jobs on an instance of a compute environment.

    Args:
        resources: Resources of the environment, which may name a launch template.
        region: Region of the environment.
    """
    volume_gib = DEFAULT_VOLUME_GIB
    for mapping in launch_template(resources, region).get("BlockDeviceMappings") or ():
        if size := (mapping.get("Ebs") or {}).get("VolumeSize"):
            volume_gib = int(size)
            break
    return max(1, volume_gib - RESERVED_GIB)


class Disks:
    """The disks of all instances that run jobs. Its methods may be called by several threads.

    Args:
        folder: Folder for the disks.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = Lock()
        self._users: dict[str, int] = {}

    def obstacle(self, size_gib: int) -> str | None:
        """Return the reason why a disk of a size can't be limited on this machine, or None."""
        if not is_permitted():
            return "only root can mount file systems, and only on Linux"
        free_bytes = shutil.disk_usage(self._existing()).free
        if size_gib * _GIB >= free_bytes:
            return f"{free_bytes // _GIB} GiB are free on this machine's own disk"
        memory_bytes = _available_memory_bytes()
        if size_gib * _GIB >= memory_bytes:
            return f"it would be in memory, of which {memory_bytes // _GIB} GiB are available"
        return None

    def note(self, size_gib: int) -> str:
        """Return a sentence that says whether disks of a size are limited, and why not."""
        reason = self.obstacle(size_gib)
        if reason is None and self.enter(_PROBE, size_gib) is None:
            reason = "mounting is not permitted here"
        elif reason is None:
            self.leave(_PROBE)
        if reason is not None:
            return f"disks of jobs are not limited to {size_gib} GiB: {reason}"
        return f"disks of jobs are limited to {size_gib} GiB"

    def unlimited(self, disk: tuple[str, int] | None) -> str:
        """Return the reason why a job has no limited disk, given its instance and the GiB."""
        if disk is None:
            return "the emulator does not limit the volumes of training jobs"
        return self.obstacle(disk[1]) or "mounting is not permitted here"

    def enter(self, instance_id: str, size_gib: int) -> Path | None:
        """Return the disk of an instance, for one more job; None if it can't be limited."""
        with self._lock:
            path = self._folder / instance_id
            if instance_id not in self._users:
                if self.obstacle(size_gib) is not None:
                    return None
                path.mkdir(parents=True)
                try:
                    mount_memory(path, f"size={size_gib}g,mode=0755")
                except OSError:  # without CAP_SYS_ADMIN, as in most containers
                    path.rmdir()
                    return None
            self._users[instance_id] = self._users.get(instance_id, 0) + 1
            return path

    def leave(self, instance_id: str) -> None:
        """Remove the disk of an instance after its last job."""
        with self._lock:
            self._users[instance_id] -= 1
            if self._users[instance_id] == 0:
                del self._users[instance_id]
                path = self._folder / instance_id
                unmount(path)
                path.rmdir()

    def _existing(self) -> Path:
        return next(p for p in (self._folder, *self._folder.parents) if p.exists())


def is_permitted() -> bool:
    """Return whether this process may be able to mount file systems."""
    return sys.platform.startswith("linux") and os.geteuid() == 0


def mount_memory(path: Path, options: str) -> None:
    """Mount a tmpfs at a folder.

    Raises:
        OSError: It is not permitted.
    """
    name = os.fsencode(path)
    if _libc().mount(b"flowyml-aws", name, b"tmpfs", _MS_NOATIME, options.encode()) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))


def unmount(path: Path) -> None:
    """Unmount a folder, as soon as no process uses it."""
    _libc().umount2(os.fsencode(path), _MNT_DETACH)


def _available_memory_bytes() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
