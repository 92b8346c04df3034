"""Elastic Fabric Adapters (EFA) of nodes: the devices of their containers.

Each EFA of an instance is a device, `/dev/infiniband/uverbs0` and so on, which reads and writes the
memory of processes, so this memory is locked. The limit of locked memory is therefore lifted.

Sources: "Elastic Fabric Adapter" in the user guide of AWS Batch (device, permissions), and the
templates of github.com/awslabs/awsome-distributed-ai for AWS Batch (more devices, `memlock`).
"""

from __future__ import annotations

from typing import Any

__all__ = ["with_efa"]

_DEVICE = "/dev/infiniband/uverbs{}"
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
