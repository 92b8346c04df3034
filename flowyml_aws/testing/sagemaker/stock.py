"""Numbers of instances: the account's quotas, and the capacity of EC2."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Literal, get_args

from flowyml_aws.testing.sagemaker.errors import ResourceLimitExceeded

__all__ = ["Stock", "Usage"]

# Each usage has a separate quota per instance type (AWS Service Quotas, Amazon SageMaker).
Usage = Literal["training job", "spot training job", "training warm pool"]


class Stock:
    """Quotas and available instances by type. Both are unlimited unless they are set."""

    def __init__(self) -> None:
        self._quotas: dict[tuple[str, Usage], int] = {}
        self._capacity: dict[str, int] = {}
        self._taken: Counter[str] = Counter()

    def set_quota(self, instance_type: str, usage: Usage, instances: int | None) -> None:
        """Set the account's quota; None for no limit."""
        if usage not in get_args(Usage):
            raise ValueError(f"Invalid usage {usage!r}: expected {' or '.join(get_args(Usage))}")
        _set(self._quotas, (instance_type, usage), instances)

    def set_capacity(self, instance_type: str, instances: int | None) -> None:
        """Set the number of instances that EC2 has for this account; None for no limit."""
        _set(self._capacity, instance_type, instances)

    def check_quota(self, instance_type: str, usage: Usage, used: Mapping[str, int]) -> None:
        """Check that one more instance is within the quota.

        Raises:
            ResourceLimitExceeded: It would exceed the quota.
        """
        quota = self._quotas.get((instance_type, usage))
        if quota is not None and used.get(instance_type, 0) >= quota:
            raise ResourceLimitExceeded(
                f"The account-level service limit '{instance_type} for {usage} usage' is {quota} "
                f"Instances, with current utilization of {used.get(instance_type, 0)} Instances "
                "and a request delta of 1 Instances. Please use AWS Service Quotas to request an "
                "increase for this quota. If AWS Service Quotas is not available, contact AWS "
                "support to request an increase for this quota."
            )

    def take(self, instance_type: str) -> bool:
        """Take an instance and return True; return False if none is free."""
        capacity = self._capacity.get(instance_type)
        if capacity is not None and self._taken[instance_type] >= capacity:
            return False
        self._taken[instance_type] += 1
        return True

    def give_back(self, instance_type: str) -> None:
        """Release an instance."""
        self._taken[instance_type] -= 1


def _set(limits: dict, key: object, instances: int | None) -> None:  # type: ignore[type-arg]
    if instances is None:
        limits.pop(key, None)
    elif instances < 0:
        raise ValueError(f"The number of instances must not be negative: {instances}")
    else:
        limits[key] = instances
