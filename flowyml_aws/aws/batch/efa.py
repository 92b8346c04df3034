"""Elastic Fabric Adapters (EFA) of nodes: the devices of their containers.

Each EFA of an instance is a device, `/dev/infiniband/uverbs0` and so on, which reads and writes the
memory of processes, so this memory is locked. The limit of locked memory is therefore lifted.

Sources: "Elastic Fabric Adapter" in the user guide of AWS Batch (device, permissions), and the
templates of github.com/awslabs/awsome-distributed-ai for AWS Batch (more devices, `memlock`).
"""

from __future__ import annotations

import re
from typing import Any

from flowyml_aws.aws.batch.queues import EFA_TAG

__all__ = ["lack_of_efa", "with_efa"]

_DEVICE = "/dev/infiniband/uverbs{}"
_NO_DEVICE = re.compile(r"/dev/infiniband/uverbs\d+.*no such file")
_PERMISSIONS = ["READ", "WRITE", "MKNOD"]  # Batch requires all
_NO_LIMIT = {"name": "memlock", "softLimit": -1, "hardLimit": -1}


def with_efa(container: dict[str, Any], interfaces: int) -> dict[str, Any]:
    """Return the properties of a container with the EFAs of its instance.

    Args:
        container: Properties of the container of a node.
        interfaces: Number of the EFAs; 0 for none.
    """
    if interfaces == 0:
        return container
    names = (_DEVICE.format(number) for number in range(interfaces))
    devices = [
        {"hostPath": name, "containerPath": name, "permissions": _PERMISSIONS} for name in names
    ]
    return {
        **container,
        "linuxParameters": {**container["linuxParameters"], "devices": devices},
        "ulimits": [_NO_LIMIT],
    }


def lack_of_efa(reason: str) -> str | None:
    """Return the explanation if a container did not start because its instance lacks an EFA.

    Args:
        reason: ECS's reason for the container, with the words of Docker.
    """
    if not _NO_DEVICE.search(reason):
        return None
    return (
        "the instance has no such Elastic Fabric Adapter: correct the tag "
        f"{EFA_TAG} of the compute environment to the number of EFA network interfaces in its "
        "launch template, and use a machine image with the EFA driver (image_id in infra/)"
    )
