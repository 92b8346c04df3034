"""Conversion of FlowyML's resources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flowyml_aws.core.resources import (
    GPUConfig,
    NodeAffinity,
    ResourceRequirements,
    read_resources,
)

__all__ = ["requirements_of"]


def requirements_of(resources: Any) -> ResourceRequirements | None:
    """Convert the resources of a step.

    Args:
        resources: A FlowyML object, an object of this package, a dict that FlowyML could not parse,
            or nothing.

    Raises:
        InvalidResourcesError: A key is unknown or has a value of the wrong type.
    """
    if not resources:
        return None
    if isinstance(resources, Mapping | ResourceRequirements):
        return read_resources(resources)
    gpu, affinity = resources.gpu, resources.node_affinity
    if isinstance(gpu, Mapping) or isinstance(affinity, Mapping):
        return read_resources({"gpu": gpu, "node_affinity": affinity, **_amounts(resources)})
    return ResourceRequirements(
        gpu=GPUConfig(gpu.gpu_type, gpu.count, gpu.memory) if gpu else None,
        node_affinity=NodeAffinity(affinity.required, affinity.preferred, affinity.tolerations)
        if affinity
        else None,
        **_amounts(resources),
    )


def _amounts(resources: Any) -> dict[str, Any]:
    return {"cpu": resources.cpu, "memory": resources.memory, "storage": resources.storage}
