"""File systems that the container of a job mounts: `mounts=[EFS(...), FSx(...)]` of a step."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

__all__ = ["EFS", "FSx", "Mount", "as_mount", "mount_faults"]

# API references of EFS (FileSystemId, AccessPointId) and of FSx (FileSystemId).
_FILE_SYSTEM = re.compile(r"fs-[0-9a-f]{8,40}")
_ACCESS_POINT = re.compile(r"fsap-[0-9a-f]{8,40}")
_FOLDERS_OF_THE_SYSTEM = ("/dev", "/proc", "/sys")


@dataclass(frozen=True, slots=True)
class EFS:
    """A file system of Amazon EFS to mount.

    Attributes:
        file_system_id: Id of the file system: `fs-0123456789abcdef0`.
        path: Folder of the file system to mount; `/` with an access point, which has its own.
        at: Folder of the container at which it is mounted.
        access_point: Id of an access point: `fsap-0123456789abcdef0`; None to use none.
        read_only: Whether the container can only read it.
    """

    file_system_id: str
    path: str = "/"
    at: str = "/mnt/data"
    access_point: str | None = None
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class FSx:
    """A file system of Amazon FSx for Lustre to mount, which the instances of the queue mount.

    Attributes:
        file_system_id: Id of the file system: `fs-0123456789abcdef0`.
        path: Folder of the file system to mount.
        at: Folder of the container at which it is mounted.
        read_only: Whether the container can only read it.
    """

    file_system_id: str
    path: str = "/"
    at: str = "/mnt/data"
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Mount:
    """A file system that a job mounts, as plans contain it.

    Attributes:
        kind: `efs` or `fsx`.
        file_system_id, path, at, access_point, read_only: Same as in `EFS`.
    """

    kind: Literal["efs", "fsx"]
    file_system_id: str
    path: str
    at: str
    access_point: str | None = None
    read_only: bool = False

    def __str__(self) -> str:
        access_point = f" ({self.access_point})" if self.access_point else ""
        read_only = ", read-only" if self.read_only else ""
        name = {"efs": "EFS", "fsx": "FSx"}[self.kind]
        return f"{name} {self.file_system_id}:{self.path}{access_point}{read_only}"


def as_mount(declared: EFS | FSx) -> Mount:
    """Return a valid mount of a step, as plans contain it."""
    is_efs = isinstance(declared, EFS)
    return Mount(
        kind="efs" if is_efs else "fsx",
        file_system_id=declared.file_system_id,
        path=posixpath.normpath(declared.path),
        at=posixpath.normpath(declared.at),
        access_point=declared.access_point if isinstance(declared, EFS) else None,
        read_only=declared.read_only,
    )


def mount_faults(declared: object) -> Iterator[str]:
    """Yield the rules that an element of `mounts` breaks, as clauses."""
    if not isinstance(declared, EFS | FSx):
        yield f"a mount must be EFS(…) or FSx(…), got {type(declared).__name__}"
        return
    if not _matches(_FILE_SYSTEM, declared.file_system_id):
        yield "file_system_id must be the id of a file system, such as fs-0123456789abcdef0"
    for name, path in (("path", declared.path), ("at", declared.at)):
        if not _is_absolute(path):
            yield f'{name} must be an absolute path without "..", such as /data'
    if _is_absolute(declared.at) and _is_of_the_system(posixpath.normpath(declared.at)):
        yield "at must be a folder of its own, such as /mnt/data"
    if not isinstance(declared.read_only, bool):
        yield "read_only must be True or False"
    if isinstance(declared, EFS) and declared.access_point is not None:
        if not _matches(_ACCESS_POINT, declared.access_point):
            yield "access_point must be the id of an access point, such as fsap-0123456789abcdef0"
        if declared.path != "/":  # API reference of AWS Batch, EFSVolumeConfiguration
            yield "path must be omitted with an access point, which has a path of its own"


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_absolute(path: object) -> bool:
    return (
        isinstance(path, str)
        and path.startswith("/")
        and ".." not in path.split("/")
        and path.isprintable()
        and len(path) <= 4096
    )


def _is_of_the_system(path: str) -> bool:
    return path.strip("/") == "" or any(
        path == folder or path.startswith(f"{folder}/") for folder in _FOLDERS_OF_THE_SYSTEM
    )
