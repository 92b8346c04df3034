"""Image, role, ulimits and mounts of a job in the container properties of its job definition.

Sources: ContainerProperties, EFSVolumeConfiguration and Ulimit in the API reference of AWS Batch.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from flowyml_aws.core.job_options import JobOptions
from flowyml_aws.core.mounts import Mount

__all__ = ["FSX_FOLDER", "with_job_options"]

FSX_FOLDER = "/mnt/fsx"
"""Folder of an instance with its file systems of FSx, by id: Batch has no volumes of this kind."""


def with_job_options(container: Mapping[str, Any], options: JobOptions) -> dict[str, Any]:
    """Return container properties with the image, role, ulimits and mounts of a job.

    Args:
        container: Properties with the image and the roles of the settings.
        options: Options of the job.
    """
    changed = {
        **container,
        **({"image": options.image} if options.image is not None else {}),
        **({"jobRoleArn": options.role} if options.role is not None else {}),
    }
    if options.ulimits:
        own = {each.name: _ulimit(each.name, each.soft, each.hard) for each in options.ulimits}
        others = [e for e in container.get("ulimits", ()) if e["name"] not in own]
        changed["ulimits"] = [*others, *own.values()]
    if options.mounts:
        has_role = "jobRoleArn" in changed
        names = [f"mount-{number}" for number in range(len(options.mounts))]
        changed["volumes"] = [
            _volume(name, mount, has_role)
            for name, mount in zip(names, options.mounts, strict=True)
        ]
        changed["mountPoints"] = [
            {"sourceVolume": name, "containerPath": mount.at, "readOnly": mount.read_only}
            for name, mount in zip(names, options.mounts, strict=True)
        ]
    return changed


def _ulimit(name: str, soft: int, hard: int) -> dict[str, Any]:
    return {"name": name, "softLimit": soft, "hardLimit": hard}


def _volume(name: str, mount: Mount, has_role: bool) -> dict[str, Any]:
    if mount.kind == "fsx":
        path = posixpath.join(FSX_FOLDER, mount.file_system_id, mount.path.lstrip("/"))
        return {"name": name, "host": {"sourcePath": posixpath.normpath(path)}}
    # Without a role, Batch refuses IAM; the mount is anonymous then.
    authorization: dict[str, str] = {"iam": "ENABLED"} if has_role else {}
    if mount.access_point is not None:
        authorization["accessPointId"] = mount.access_point
    volume: dict[str, Any] = {
        "fileSystemId": mount.file_system_id,
        "rootDirectory": mount.path,
        "transitEncryption": "ENABLED",
    }
    if authorization:
        volume["authorizationConfig"] = authorization
    return {"name": name, "efsVolumeConfiguration": volume}
