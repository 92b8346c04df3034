"""Network interfaces of instances: their security groups, and their Elastic Fabric Adapters (EFA).

A container that requests the device of an EFA which its instance lacks can't be started, as Docker
words it. Nodes never get a device here, even if their instances have the interfaces on AWS.

Sources: CreateComputeEnvironment in the API reference of AWS Batch (`securityGroupIds`); aws-cdk
issue 21577 for the refusal of security groups in both places.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from moto.core.exceptions import ServiceException

from flowyml_aws.testing.batch.validation import ClientException
from flowyml_aws.testing.machines.launch_templates import launch_template

__all__ = ["efa_interfaces", "has_own_groups", "missing_device", "with_security_groups"]

_EFA = ("efa", "efa-only")
_DEVICE = re.compile(r"/dev/infiniband/uverbs(\d+)")
_NO_DEVICE = (
    "CannotStartContainerError: Error response from daemon: error gathering device information "
    'while adding custom device "{}": no such file or directory'
)


def efa_interfaces(resources: Mapping[str, Any], region: str) -> int:
    """Return the number of EFAs of each instance of a compute environment.

    Args:
        resources: Resources of the environment, which may name a launch template.
        region: Region of the environment.

    Raises:
        ServiceException: The launch template does not exist.
    """
    interfaces = _interfaces(resources, region)
    return sum(1 for interface in interfaces if interface.get("InterfaceType") in _EFA)


def missing_device(
    container: Mapping[str, Any], resources: Mapping[str, Any], region: str
) -> str | None:
    """Return ECS's reason if a container requests a device that its instance lacks, or None.

    Args:
        container: Properties of the container.
        resources: Resources of the compute environment.
        region: Region of the environment.
    """
    names = list(_efa_devices(container))
    if not names:
        return None
    count = efa_interfaces(resources, region)
    missing = (name for name, number in names if number >= count)
    return next(map(_NO_DEVICE.format, missing), None)


def has_own_groups(resources: Mapping[str, Any], region: str) -> bool:
    """Return whether the launch template of an environment has the security groups."""
    try:
        return bool(_interfaces(resources, region))
    except ServiceException:
        return False


def with_security_groups(resources: Mapping[str, Any], region: str) -> dict[str, Any]:
    """Return resources with the groups of their launch template's interfaces: moto requires some.

    Args:
        resources: Resources of a new compute environment.
        region: Region of the environment.

    Raises:
        ClientException: The groups are in both places or in none.
    """
    groups = list(resources.get("securityGroupIds") or ())
    try:
        interfaces = _interfaces(resources, region)
    except ServiceException:
        return dict(resources)  # Batch finds out when it starts instances
    if groups and interfaces:
        raise ClientException(
            "Either compute environment Security Groups or Network Interfaces in Launch template "
            "are exclusively allowed"
        )
    groups += {group: None for each in interfaces for group in each.get("Groups") or ()}
    if not groups:
        raise ClientException(
            "One or more security groups must be specified, either in securityGroupIds or in a "
            "launch template"
        )
    return {**resources, "securityGroupIds": groups}


def _interfaces(resources: Mapping[str, Any], region: str) -> Sequence[Mapping[str, Any]]:
    return launch_template(resources, region).get("NetworkInterfaces") or ()


def _efa_devices(container: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for device in (container.get("linuxParameters") or {}).get("devices") or ():
        if found := _DEVICE.fullmatch(device["hostPath"]):
            yield found[0], int(found[1])
