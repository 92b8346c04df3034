"""Numbers of instances of training jobs: the account's quotas, and the capacity of EC2."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from flowyml_aws.testing.quotas import AccountQuotas, Usage
from flowyml_aws.testing.sagemaker.errors import ResourceLimitExceeded

__all__ = ["Stock"]


class Stock:
    """Quotas and available instances by type. The capacity is unlimited unless it is set."""

    def __init__(self, quotas: AccountQuotas) -> None:
        self._quotas = quotas
        self._capacity: dict[str, int] = {}
        self._taken: Counter[str] = Counter()

    def set_capacity(self, instance_type: str, instances: int | None) -> None:
        """Set the number of instances that EC2 has for this account; None for no limit."""
        if instances is None:
            self._capacity.pop(instance_type, None)
        elif instances < 0:
            raise ValueError(f"The number of instances must not be negative: {instances}")
        else:
            self._capacity[instance_type] = instances

    def check_quota(
        self, instance_type: str, usage: Usage, used: Mapping[str, int], instances: int
    ) -> None:
        """Check that a number of further instances is within the quota.

        Raises:
            ResourceLimitExceeded: It would exceed the quota.
        """
        quota = self._quotas.instances(instance_type, usage)
        if quota is not None and used.get(instance_type, 0) + instances > quota:
            raise ResourceLimitExceeded(
                f"The account-level service limit '{instance_type} for {usage} usage' is {quota} "
                f"Instances, with current utilization of {used.get(instance_type, 0)} Instances "
                f"and a request delta of {instances} Instances. Please use AWS Service Quotas to "
                "request an increase for this quota. If AWS Service Quotas is not available, "
                "contact AWS support to request an increase for this quota."
            )

    def take(self, instance_type: str, instances: int) -> bool:
        """Take instances and return True; return False and take none if too few are free."""
        capacity = self._capacity.get(instance_type)
        if capacity is not None and self._taken[instance_type] + instances > capacity:
            return False
        self._taken[instance_type] += instances
        return True

    def give_back(self, instance_type: str, instances: int) -> None:
        """Release instances."""
        self._taken[instance_type] -= instances
