"""Instance types that an account's vCPU quotas do not allow: in new accounts, all with GPUs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from flowyml_aws.aws.ec2.quotas import Quota, quota_of, read_limits
from flowyml_aws.aws.quota_requests import quota_request
from flowyml_aws.catalog.types import InstanceType
from flowyml_aws.core.errors import AwsRefusedError
from flowyml_aws.planning.nodes import NodeLimit
from flowyml_aws.planning.plan import PlannedJob

if TYPE_CHECKING:
    from mypy_boto3_service_quotas import ServiceQuotasClient

__all__ = ["TypesAboveQuota"]


class TypesAboveQuota:
    """The instance types that are larger than an account's quotas, as far as plans have asked.

    Args:
        client: Returns a client of Service Quotas.
        region: AWS region of the jobs.

    Attributes:
        closed: Reason by instance type, for each capacity.
        node_limits: Limits of types that a job can't have for all its nodes, for each capacity.
        notes: Notes for a plan.
    """

    def __init__(self, client: Callable[[], ServiceQuotasClient], region: str) -> None:
        self.closed: Mapping[str, dict[str, str]] = {"on-demand": {}, "spot": {}}
        self.node_limits: Mapping[str, dict[str, NodeLimit]] = {"on-demand": {}, "spot": {}}
        self.notes: list[str] = []
        self._client = client
        self._region = region
        self._limits: dict[Quota, int | None] = {}

    def close(self, jobs: Iterable[PlannedJob], types: Iterable[InstanceType]) -> bool:
        """Look up the quotas of jobs. If one is too low, close every type that these quotas forbid.

        If AWS denies the call, the quotas are unknown, and a note says so.

        Args:
            jobs: Jobs of a plan.
            types: Every instance type that other plans could use.

        Returns:
            Whether the planned type of a job was closed, or limited to fewer nodes.
        """
        nodes: dict[tuple[str, str], int] = {}  # by planned type and capacity
        for job in jobs:
            if job.instance_type and job.instance_type not in self.closed[job.capacity]:
                key = job.instance_type, job.capacity
                nodes[key] = max(nodes.get(key, 1), job.needs.nodes)
        self._read({quota for name, capacity in nodes if (quota := _quota(name, capacity))})
        most = max(nodes.values(), default=1)
        for instance in types:
            for capacity in self.closed:
                quota = quota_of(instance.family, capacity)
                limit = self._limits.get(quota) if quota is not None else None
                if quota is not None and limit is not None and instance.vcpus * most > limit:
                    self._limit(instance, capacity, quota, limit, most)
        return any(
            name in self.closed[capacity] or self._most_nodes(name, capacity) < count
            for (name, capacity), count in nodes.items()
        )

    def _most_nodes(self, instance_type: str, capacity: str) -> float:
        limit = self.node_limits[capacity].get(instance_type)
        return math.inf if limit is None else limit.nodes

    def _limit(
        self, instance: InstanceType, capacity: str, quota: Quota, limit: int, nodes: int
    ) -> None:
        most_nodes = limit // instance.vcpus
        vcpus = instance.vcpus * (nodes if most_nodes else 1)
        reason = (
            f"the account's quota {quota.name!r} is {limit} vCPUs; request at least {vcpus}: "
            f"{quota_request('ec2', quota.code, vcpus, self._region)}"
        )
        if most_nodes:
            self.node_limits[capacity][instance.name] = NodeLimit(most_nodes, reason)
        else:
            self.closed[capacity][instance.name] = reason

    def _read(self, quotas: Iterable[Quota]) -> None:
        unread = [quota for quota in quotas if quota not in self._limits]
        if not unread:
            return
        try:
            limits = read_limits(self._client(), unread)
        except AwsRefusedError as error:
            limits = {}
            self.notes.append(
                f"EC2's quotas are unknown: {error.what} (servicequotas:GetServiceQuota)"
            )
        self._limits.update((quota, limits.get(quota.code)) for quota in unread)


def _quota(instance_type: str, capacity: str) -> Quota | None:
    return quota_of(instance_type.partition(".")[0], capacity)
