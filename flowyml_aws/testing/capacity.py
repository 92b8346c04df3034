"""Resources that a job requests, and resources that the emulated account has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Capacity", "needs", "resource_requirements"]


@dataclass(frozen=True, slots=True)
class Capacity:
    """CPUs, memory and GPUs: the total of all compute environments, or the share of one job."""

    vcpus: int
    memory_mib: int
    gpus: int = 0

    def __post_init__(self) -> None:
        if min(self.vcpus, self.memory_mib, self.gpus) < 0:
            raise ValueError(f"A capacity must not be negative: {self}")

    def covers(self, other: Capacity) -> bool:
        """Return True if `other` fits into this capacity."""
        return (
            self.vcpus >= other.vcpus
            and self.memory_mib >= other.memory_mib
            and self.gpus >= other.gpus
        )

    def __sub__(self, other: Capacity) -> Capacity:
        return Capacity(
            self.vcpus - other.vcpus, self.memory_mib - other.memory_mib, self.gpus - other.gpus
        )

    def __add__(self, other: Capacity) -> Capacity:
        return Capacity(
            self.vcpus + other.vcpus, self.memory_mib + other.memory_mib, self.gpus + other.gpus
        )


def resource_requirements(
    properties: Mapping[str, Any], overrides: Mapping[str, Any]
) -> list[dict[str, str]]:
    """Return a job's requirements; an override replaces the definition's requirement of its type.

    The deprecated `vcpus` and `memory` members count as requirements, as in AWS.
    """
    merged: dict[str, str] = {}
    for source in (properties, overrides):
        for member, kind in (("vcpus", "VCPU"), ("memory", "MEMORY")):
            if source.get(member):
                merged[kind] = str(source[member])
        for requirement in source.get("resourceRequirements") or ():
            merged[requirement["type"]] = requirement["value"]
    return [{"type": kind, "value": value} for kind, value in sorted(merged.items())]


def needs(requirements: list[dict[str, str]]) -> Capacity:
    """Return the capacity that a job with these (validated) requirements uses."""
    values = {requirement["type"]: int(requirement["value"]) for requirement in requirements}
    return Capacity(
        vcpus=values.get("VCPU", 1),
        memory_mib=values.get("MEMORY", 0),
        gpus=values.get("GPU", 0),
    )
