"""Quotas of training jobs: one for each instance type and usage, 0 for most GPUs in new accounts.

Their codes are the same in every account, but not published; so they are found by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.errors import refused
from flowyml_aws.aws.quota_requests import quota_page, quota_request
from flowyml_aws.core.errors import AwsRefusedError
from flowyml_aws.planning.nodes import NodeLimit
from flowyml_aws.planning.plan import PlannedJob

if TYPE_CHECKING:
    from mypy_boto3_service_quotas import ServiceQuotasClient

__all__ = [
    "ExceededQuota",
    "TrainingQuota",
    "TypesWithoutQuota",
    "list_quotas",
    "no_quota",
    "quota_names",
]

_PAGE_SIZE = 100
_EXCEEDED = re.compile(
    r"'(?P<name>[^']+)' is (?P<limit>\d+) Instances, with current utilization of \d+ Instances and "
    r"a request delta of (?P<delta>\d+) Instances"
)


@dataclass(frozen=True, slots=True)
class TrainingQuota:
    """A quota as Service Quotas reports it.

    Attributes:
        name: Name, such as `ml.g5.xlarge for training job usage`.
        code: Quota code of Service Quotas.
        limit: Instances that may run at the same time.
    """

    name: str
    code: str
    limit: int


@dataclass(frozen=True, slots=True)
class ExceededQuota:
    """The quota that a refusal of CreateTrainingJob names.

    Attributes:
        name: Name of the quota.
        limit: Instances that may run at the same time.
        requested: Instances that the job requested.
    """

    name: str
    limit: int
    requested: int

    @classmethod
    def from_message(cls, message: str) -> ExceededQuota | None:
        """Return the quota that a message of `ResourceLimitExceeded` names, or None."""
        match = _EXCEEDED.search(message)
        return match and cls(match["name"], int(match["limit"]), int(match["delta"]))

    @property
    def is_permanent(self) -> bool:
        """True if the job can't start even when no other job runs."""
        return self.limit < self.requested

    @property
    def instance_type(self) -> str:
        """Instance type of the quota; another text if it is a quota of all types together."""
        return self.name.partition(" for ")[0]


def quota_names(instance_type: str, capacity: str, keeps_instance: bool) -> tuple[str, ...]:
    """Return the names of the quotas that a training job uses.

    Args:
        instance_type: Instance type of the job.
        capacity: `on-demand` or `spot`.
        keeps_instance: Whether the instance is kept in a warm pool.
    """
    if capacity == "spot":
        return (f"{instance_type} for spot training job usage",)
    usages = ("training job", *(["training warm pool"] if keeps_instance else []))
    return tuple(f"{instance_type} for {usage} usage" for usage in usages)


def list_quotas(client: ServiceQuotasClient) -> Iterator[TrainingQuota]:
    """Yield SageMaker's quotas, thousands in all, with one call for each 100.

    Raises:
        AwsRefusedError: AWS denied the call.
    """
    pages = client.get_paginator("list_service_quotas")
    try:
        for page in pages.paginate(
            ServiceCode="sagemaker", PaginationConfig={"PageSize": _PAGE_SIZE}
        ):
            for quota in page["Quotas"]:
                yield TrainingQuota(quota["QuotaName"], quota["QuotaCode"], int(quota["Value"]))
    except (ClientError, BotoCoreError) as error:
        raise refused(error, "read the quotas of SageMaker") from error


def no_quota(
    name: str, limit: int, region: str, code: str | None = None, requested: int = 1
) -> str:
    """Return the reason why a job can't start: its quota, and how to request more.

    Args:
        name: Name of the quota.
        limit: Its value.
        region: AWS region of the job.
        code: Quota code, if it is known.
        requested: Number of instances that the job requests: more than `limit`.
    """
    how = (
        quota_page("sagemaker", region=region)
        if code is None
        else quota_request("sagemaker", code, requested, region)
    )
    return (
        f"the account's quota {name!r} is {limit} instances; request at least {requested - limit} "
        f"more: {how}"
    )


class TypesWithoutQuota:
    """The instance types that an account may not start, as far as plans have asked for them.

    Args:
        client: Returns a client of Service Quotas.
        region: AWS region of the jobs.
        keeps_instances: Whether the instances of on-demand jobs are kept in a warm pool.

    Attributes:
        closed: Reason by instance type, for each capacity.
        node_limits: Limits of types whose quota is too low for the nodes of a job, for each
            capacity.
        notes: Notes for a plan.
    """

    def __init__(
        self, client: Callable[[], ServiceQuotasClient], region: str, keeps_instances: bool
    ) -> None:
        self.closed: Mapping[str, dict[str, str]] = {"on-demand": {}, "spot": {}}
        self.node_limits: Mapping[str, dict[str, NodeLimit]] = {"on-demand": {}, "spot": {}}
        self.notes: list[str] = []
        self._client = client
        self._region = region
        self._keeps_instances = keeps_instances
        self._known: dict[str, TrainingQuota] = {}
        self._rest: Iterator[TrainingQuota] | None = None

    def close(self, jobs: Iterable[PlannedJob], types: Collection[str]) -> bool:
        """Look up the quotas of jobs. If one is too low, close or limit every type with such a one.

        If AWS denies the call, the quotas are unknown, and a note says so.

        Args:
            jobs: Jobs of a plan.
            types: Every instance type that other plans could use.

        Returns:
            Whether types of these jobs were closed or limited.
        """
        nodes: dict[str, int] = {}  # by quota
        for job in jobs:
            for offer in job.offers:
                for name in quota_names(offer.instance_type, job.capacity, self._keeps_instances):
                    nodes[name] = max(nodes.get(name, 1), offer.nodes)
        try:
            self._read(lambda: nodes.keys() <= self._known.keys())
            if not any(self._is_below(name, count) for name, count in nodes.items()):
                return False
            self._read(lambda: False)
        except AwsRefusedError as error:
            self._rest = iter(())
            self.notes.append(
                f"SageMaker's quotas are unknown: {error.what} (servicequotas:ListServiceQuotas)"
            )
            return False
        most = max(nodes.values())
        for capacity in self.closed:
            for instance_type in types:
                for name in quota_names(instance_type, capacity, self._keeps_instances):
                    if self._is_below(name, most):
                        self._limit(instance_type, capacity, self._known[name], most)
        return True

    def _limit(self, instance_type: str, capacity: str, quota: TrainingQuota, nodes: int) -> None:
        requested = nodes if quota.limit else 1
        reason = no_quota(quota.name, quota.limit, self._region, quota.code, requested)
        limits = self.node_limits[capacity]
        if quota.limit < 1:
            self.closed[capacity][instance_type] = reason
        elif instance_type not in limits or quota.limit <= limits[instance_type].nodes:
            limits[instance_type] = NodeLimit(quota.limit, reason)

    def _read(self, is_enough: Callable[[], bool]) -> None:
        if self._rest is None:
            self._rest = list_quotas(self._client())
        while not is_enough() and (quota := next(self._rest, None)) is not None:
            self._known[quota.name] = quota

    def _is_below(self, name: str, instances: int) -> bool:
        return name in self._known and self._known[name].limit < instances
