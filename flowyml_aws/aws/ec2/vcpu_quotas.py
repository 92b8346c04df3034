"""Instance types that an account's vCPU quotas do not allow: in new accounts, all with GPUs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from flowyml_aws.aws.ec2.quotas import Quota, quota_of, read_limits
from flowyml_aws.aws.quota_requests import quota_request
from flowyml_aws.catalog.types import InstanceType
from flowyml_aws.core.errors import AwsRefusedError
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
        notes: Notes for a plan.
    """

    def __init__(self, client: Callable[[], ServiceQuotasClient], region: str) -> None:
        self.closed: Mapping[str, dict[str, str]] = {"on-demand": {}, "spot": {}}
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
            Whether the planned type of a job was closed.
        """
        planned = {(job.instance_type, job.capacity) for job in jobs if job.instance_type}
        open_types = {pair for pair in planned if pair[0] not in self.closed[pair[1]]}
        self._read({quota for name, capacity in open_types if (quota := _quota(name, capacity))})
        for instance in types:
            for capacity, closed in self.closed.items():
                quota = quota_of(instance.family, capacity)
                limit = self._limits.get(quota) if quota is not None else None
                if quota is not None and limit is not None and instance.vcpus > limit:
                    request = quota_request("ec2", quota.code, instance.vcpus, self._region)
                    closed[instance.name] = (
                        f"the account's quota {quota.name!r} is {limit} vCPUs; request at least "
                        f"{instance.vcpus}: {request}"
                    )
        return any(name in self.closed[capacity] for name, capacity in open_types)

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
