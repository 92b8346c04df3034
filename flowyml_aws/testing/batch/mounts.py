"""File systems and limits in the container of a job definition.

They are checked only: a job sees the folders and has the limits of this machine.

Sources: EFSVolumeConfiguration, EFSAuthorizationConfig, Volume, MountPoint, Ulimit and
LinuxParameters in the API reference of AWS Batch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["container_faults"]

_VOLUME = re.compile(r"[A-Za-z0-9_-]{1,255}")
_ULIMITS = {
    *("core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc"),
    *("rss", "rtprio", "rttime", "sigpending", "stack"),
}


def container_faults(container: Mapping[str, Any], is_fargate: bool) -> Iterator[str]:
    """Yield the reasons why AWS would reject the mounts and limits of a container."""
    names = set()
    for volume in container.get("volumes") or ():
        name = volume.get("name") or ""
        names.add(name)
        if not _VOLUME.fullmatch(name):
            yield f"Volume name should match valid pattern: {_VOLUME.pattern}"
        if "efsVolumeConfiguration" in volume:
            has_role = bool(container.get("jobRoleArn"))
            yield from _efs_faults(volume["efsVolumeConfiguration"], has_role)
        elif is_fargate:
            yield "host isn't applicable to jobs on Fargate resources"
    for mount in container.get("mountPoints") or ():
        if mount.get("sourceVolume") not in names:
            yield f"mountPoints has an unknown volume {mount.get('sourceVolume')}"
        if not str(mount.get("containerPath", "")).startswith("/"):
            yield "containerPath must be an absolute path"
    for ulimit in container.get("ulimits") or ():
        if ulimit["name"] not in _ULIMITS:
            yield f"Unknown ulimit: {ulimit['name']}"
        if is_fargate:
            yield "ulimits aren't applicable to jobs on Fargate resources"
    shared_mib = (container.get("linuxParameters") or {}).get("sharedMemorySize")
    if shared_mib is not None and (shared_mib <= 0 or is_fargate):
        yield "sharedMemorySize must be above 0, and isn't applicable to Fargate resources"


def _efs_faults(configuration: Mapping[str, Any], has_role: bool) -> Iterator[str]:
    is_encrypted = configuration.get("transitEncryption") == "ENABLED"
    authorization = configuration.get("authorizationConfig") or {}
    uses_iam = authorization.get("iam") == "ENABLED"
    access_point = authorization.get("accessPointId")
    if (uses_iam or access_point) and not is_encrypted:
        yield "EFS IAM authorization and access points require transitEncryption"
    if uses_iam and not has_role:
        yield "EFS IAM authorization requires jobRoleArn"
    if access_point and configuration.get("rootDirectory", "/") != "/":
        yield "rootDirectory must be omitted or / with an EFS access point"
