"""Disks of the instances of a queue, which the jobs on an instance share with its images."""

from __future__ import annotations

from dataclasses import dataclass

from flowyml_aws.catalog.types import InstanceType

__all__ = ["DEFAULT_VOLUME_GIB", "RESERVED_GIB", "Disk"]

DEFAULT_VOLUME_GIB = 30
"""Root volume of an instance without a launch template (ECS developer guide, storage of AMIs)."""
RESERVED_GIB = 20
"""Part of a disk for the system and images. ECS's image with drivers and PyTorch's need most of it.
`infra/account/families.json` has the same number."""


@dataclass(frozen=True, slots=True)
class Disk:
    """Disk of the instances of a queue.

    Attributes:
        free_gib: Part of the root volume that one job can use if it is alone on its instance.
        local_data_root: Whether containers are on the local NVMe disks of types that have some.
        is_assumed: Whether the size is unknown, and that of ECS's default volume is assumed.
    """

    free_gib: int = DEFAULT_VOLUME_GIB - RESERVED_GIB
    local_data_root: bool = False
    is_assumed: bool = False

    def free_on(self, instance: InstanceType) -> int:
        """Return the GiB that one job can use on an instance of a type."""
        if self.local_data_root and instance.nvme_gb:
            return max(0, instance.nvme_gb * 10**9 // 2**30 - RESERVED_GIB)
        return self.free_gib
