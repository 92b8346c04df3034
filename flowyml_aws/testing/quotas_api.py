"""Service Quotas of the emulated account, whose quotas moto lacks."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID

from flowyml_aws.testing.api import Handler, Rewrite
from flowyml_aws.testing.quotas import AccountQuotas, ServiceQuota
from flowyml_aws.testing.refusal import Refusal

__all__ = ["IllegalArgumentException", "NoSuchResourceException", "QuotasApi"]

_SERVICES = {
    "ec2": "Amazon Elastic Compute Cloud (Amazon EC2)",
    "sagemaker": "Amazon SageMaker",
}
_MAX_RESULTS = 100


class NoSuchResourceException(Refusal):
    """The service's error for a quota that does not exist."""


class IllegalArgumentException(Refusal):
    """The service's error for a request with an invalid value."""


class QuotasApi:
    """Service Quotas' operations on the quotas of EC2 and SageMaker.

    An increase is granted at once, where AWS takes minutes to days.

    Args:
        quotas: Quotas of the account.
        on_increase: Callback for each increase.

    Attributes:
        handlers: Handlers by operation.
        rewrites: Always empty: moto does not implement these quotas.
    """

    def __init__(self, quotas: AccountQuotas, on_increase: Callable[[], None]) -> None:
        self._quotas = quotas
        self._on_increase = on_increase
        self.handlers: Mapping[str, Handler] = {
            "GetServiceQuota": self._get,
            "ListServiceQuotas": self._list,
            "RequestServiceQuotaIncrease": self._increase,
        }
        self.rewrites: Mapping[str, Rewrite] = {}

    def _get(self, request: Mapping[str, Any], region: str, size: int) -> dict[str, Any]:
        return {"Quota": _describe(self._find(request), region)}

    def _find(self, request: Mapping[str, Any]) -> ServiceQuota:
        for quota in self._quotas.reported(str(request.get("ServiceCode"))):
            if quota.code == request.get("QuotaCode"):
                return quota
        raise NoSuchResourceException("The request failed because the quota does not exist.")

    def _increase(self, request: Mapping[str, Any], region: str, size: int) -> dict[str, Any]:
        quota, value = self._find(request), float(request.get("DesiredValue") or 0)
        if value <= quota.value:
            raise IllegalArgumentException(
                "You must provide a quota value greater than the current quota value."
            )
        self._quotas.increase(quota, int(value))
        self._on_increase()
        described = _describe(quota, region)
        kept = ("ServiceCode", "ServiceName", "QuotaArn", "QuotaCode", "QuotaName", "GlobalQuota")
        return {
            "RequestedQuota": {
                "Id": uuid.uuid4().hex,
                "DesiredValue": value,
                "Status": "APPROVED",
                "Unit": described["Unit"],
                **{name: described[name] for name in kept},
            }
        }

    def _list(self, request: Mapping[str, Any], region: str, size: int) -> dict[str, Any]:
        quotas = list(self._quotas.reported(str(request.get("ServiceCode"))))
        if not quotas:
            raise NoSuchResourceException("The request failed because the service does not exist.")
        start = int(request.get("NextToken") or 0)
        end = start + min(_MAX_RESULTS, int(request.get("MaxResults") or _MAX_RESULTS))
        page = [_describe(quota, region) for quota in quotas[start:end]]
        return {"Quotas": page, **({"NextToken": str(end)} if end < len(quotas) else {})}


def _describe(quota: ServiceQuota, region: str) -> dict[str, Any]:
    arn = f"arn:aws:servicequotas:{region}:{DEFAULT_ACCOUNT_ID}:{quota.service}/{quota.code}"
    return {
        "ServiceCode": quota.service,
        "ServiceName": _SERVICES[quota.service],
        "QuotaArn": arn,
        "QuotaCode": quota.code,
        "QuotaName": quota.name,
        "Value": float(quota.value),
        "Unit": "None",
        "Adjustable": True,
        "GlobalQuota": False,
    }
