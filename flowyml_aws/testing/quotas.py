"""Quotas of the emulated account: EC2's vCPUs, and SageMaker's instances of each type and usage."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

from flowyml_aws.aws.ec2.quotas import QUOTAS
from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.core.errors import SettingsError

__all__ = ["AccountQuotas", "QuotaLevel", "ServiceQuota", "Usage", "quota_level"]

QuotaLevel = Literal["new-account", "raised"]
"""Quotas of an emulator at its start."""

# Each usage has a separate quota per instance type (AWS Service Quotas, Amazon SageMaker).
Usage = Literal["training job", "spot training job", "training warm pool"]
_USAGES = sorted(get_args(Usage))

# AWS's default for Standard instances; it is 0 for all others (docs: EC2 instance type quotas).
# SageMaker's defaults vary, and many new accounts have 0 for CPU types, too.
_NEW_VCPUS = {"L-1216C47A": 5, "L-34B43A08": 5}
_NEW_CPU_INSTANCES = 4
_RAISED_VCPUS = 4096
_RAISED_INSTANCES = 1000


@dataclass(frozen=True, slots=True)
class ServiceQuota:
    """A quota as Service Quotas reports it."""

    service: str
    code: str
    name: str
    value: int


def quota_level(name: str) -> QuotaLevel:
    """Return the level with this name.

    Raises:
        SettingsError: The level is unknown.
    """
    for level in get_args(QuotaLevel):
        if name == level:
            found: QuotaLevel = level
            return found
    raise SettingsError(
        what=f"Invalid quotas {name!r}",
        why="the emulator has the quotas of a new account, or raised ones",
        fix=f"select {_either(get_args(QuotaLevel))}",
    )


class AccountQuotas:
    """The quotas of an account.

    Args:
        level: Initial values: those of a new account, without GPUs, or values that no test exceeds.

    Raises:
        SettingsError: The level is unknown.
    """

    def __init__(self, level: QuotaLevel) -> None:
        self.level = quota_level(level)
        self._is_new = self.level == "new-account"
        self._vcpus: dict[str, int] = {}
        self._instances: dict[tuple[str, str], int | None] = {}

    def vcpus(self, code: str) -> int:
        """Return the vCPUs of an EC2 quota."""
        default = _NEW_VCPUS.get(code, 0) if self._is_new else _RAISED_VCPUS
        return self._vcpus.get(code, default)

    def instances(self, instance_type: str, usage: str) -> int | None:
        """Return the SageMaker instances of a type for one usage; None for no limit."""
        if (instance_type, usage) in self._instances:
            return self._instances[instance_type, usage]
        if not self._is_new:
            return None
        known = load_catalog().get(instance_type)
        has_gpus = known is not None and known.gpu_count > 0
        return 0 if has_gpus or usage == "training warm pool" else _NEW_CPU_INSTANCES

    def set_vcpus(self, code: str, vcpus: int) -> None:
        """Set an EC2 quota by its code.

        Raises:
            ValueError: The quota is unknown, or the number is negative.
        """
        if code not in {quota.code for quota in QUOTAS}:
            raise ValueError(f"No such vCPU quota: {code!r}")
        self._vcpus[code] = _checked(vcpus)

    def set_instances(self, instance_type: str, usage: str, instances: int | None) -> None:
        """Set SageMaker's quota of a type for one usage; None for no limit.

        Raises:
            ValueError: The usage is unknown, or the number is negative.
        """
        if usage not in get_args(Usage):
            raise ValueError(f"Invalid usage {usage!r}: expected {_either(get_args(Usage))}")
        self._instances[instance_type, usage] = None if instances is None else _checked(instances)

    def increase(self, quota: ServiceQuota, value: int) -> None:
        """Set a quota that Service Quotas reports."""
        if quota.service == "ec2":
            self.set_vcpus(quota.code, value)
        else:
            instance_type, _, usage = quota.name.removesuffix(" usage").partition(" for ")
            self.set_instances(instance_type, usage, value)

    def reported(self, service: str) -> Iterator[ServiceQuota]:
        """Yield the quotas of a service, in the order of their names, as AWS lists them."""
        if service == "ec2":
            for quota in sorted(QUOTAS, key=lambda q: q.name):
                yield ServiceQuota(service, quota.code, quota.name, self.vcpus(quota.code))
        if service == "sagemaker":
            for name, usage, full_name, code in _sagemaker_quotas():
                instances = self.instances(name, usage)
                value = _RAISED_INSTANCES if instances is None else instances
                yield ServiceQuota(service, code, full_name, value)


@cache
def _sagemaker_quotas() -> tuple[tuple[str, str, str, str], ...]:
    """Return instance type, usage, name and code of each quota, in the order of their names."""
    types = sorted({t.sagemaker_name for t in load_catalog().types if t.sagemaker_name})
    names = ((t, usage, f"{t} for {usage} usage") for t in types for usage in _USAGES)
    return tuple((*quota, _code(quota[-1])) for quota in names)


def _code(name: str) -> str:
    """Return a code in the form of AWS's; its real codes are not derived from names."""
    return f"L-{hashlib.sha256(name.encode()).hexdigest()[:8].upper()}"


def _checked(number: int) -> int:
    if number < 0:
        raise ValueError(f"A quota must not be negative: {number}")
    return number


def _either(names: tuple[str, ...]) -> str:
    return " or ".join(names)
