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


def no_quota(name: str, limit: int, region: str, code: str | None = None) -> str:
    """Return the reason why a job can't start: its quota, and how to request more.

    Args:
        name: Name of the quota.
        limit: Its value.
        region: AWS region of the job.
        code: Quota code, if it is known.
    """
    how = (
        quota_page("sagemaker", region=region)
        if code is None
        else quota_request("sagemaker", code, limit + 1, region)
    )
    return f"the account's quota {name!r} is {limit} instances; request at least 1 more: {how}"


class TypesWithoutQuota:
    """The instance types that an account may not start, as far as plans have asked for them.

    Args:
        client: Returns a client of Service Quotas.
        region: AWS region of the jobs.
        keeps_instances: Whether the instances of on-demand jobs are kept in a warm pool.

    Attributes:
        closed: Reason by instance type, for each capacity.
        notes: Notes for a plan.
    """

    def __init__(
        self, client: Callable[[], ServiceQuotasClient], region: str, keeps_instances: bool
    ) -> None:
        self.closed: Mapping[str, dict[str, str]] = {"on-demand": {}, "spot": {}}
        self.notes: list[str] = []
        self._client = client
        self._region = region
        self._keeps_instances = keeps_instances
        self._known: dict[str, TrainingQuota] = {}
        self._rest: Iterator[TrainingQuota] | None = None

    def close(self, jobs: Iterable[PlannedJob], types: Collection[str]) -> bool:
        """Look up the quotas of jobs. If one of them is 0, close every type whose quota is 0.

        If AWS denies the call, the quotas are unknown, and a note says so.

        Args:
            jobs: Jobs of a plan.
            types: Every instance type that other plans could use.

        Returns:
            Whether types of these jobs were closed.
        """
        names = {
            name
            for job in jobs
            for offer in job.offers
            for name in quota_names(offer.instance_type, job.capacity, self._keeps_instances)
        }
        try:
            self._read(lambda: names <= self._known.keys())
            if not any(self._is_zero(name) for name in names):
                return False
            self._read(lambda: False)
        except AwsRefusedError as error:
            self._rest = iter(())
            self.notes.append(
                f"SageMaker's quotas are unknown: {error.what} (servicequotas:ListServiceQuotas)"
            )
            return False
        for capacity, closed in self.closed.items():
            for instance_type in types:
                for name in quota_names(instance_type, capacity, self._keeps_instances):
                    if self._is_zero(name):
                        code = self._known[name].code
                        closed[instance_type] = no_quota(name, 0, self._region, code)
        return True

    def _read(self, is_enough: Callable[[], bool]) -> None:
        if self._rest is None:
            self._rest = list_quotas(self._client())
        while not is_enough() and (quota := next(self._rest, None)) is not None:
            self._known[quota.name] = quota

    def _is_zero(self, name: str) -> bool:
        return name in self._known and self._known[name].limit < 1
