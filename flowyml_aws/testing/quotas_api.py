"""Service Quotas of the emulated account: EC2's vCPU quotas, which moto lacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID

from flowyml_aws.aws.quotas import QUOTAS, Quota
from flowyml_aws.testing.api import Handler, Rewrite
from flowyml_aws.testing.refusal import Refusal

__all__ = ["NoSuchResourceException", "QuotasApi"]

_VCPUS = 4096.0


class NoSuchResourceException(Refusal):
    """The service's error for a quota that does not exist."""


class QuotasApi:
    """Service Quotas' operations on EC2's quotas.

    Attributes:
        limits: vCPUs by quota code; other quotas have a large default.
        handlers: Handlers by operation.
        rewrites: Always empty: moto does not implement these quotas.
    """

    def __init__(self) -> None:
        self.limits: dict[str, float] = {}
        self.handlers: Mapping[str, Handler] = {
            "GetServiceQuota": self._get,
            "ListServiceQuotas": self._list,
        }
        self.rewrites: Mapping[str, Rewrite] = {}

    def _get(self, request: Mapping[str, Any], region: str, size: int) -> dict[str, Any]:
        for quota in QUOTAS:
            if (request.get("ServiceCode"), request.get("QuotaCode")) == ("ec2", quota.code):
                return {"Quota": self._describe(quota, region)}
        raise NoSuchResourceException("The request failed because the quota does not exist.")

    def _list(self, request: Mapping[str, Any], region: str, size: int) -> dict[str, Any]:
        if request.get("ServiceCode") != "ec2":
            raise NoSuchResourceException("The request failed because the service does not exist.")
        return {"Quotas": [self._describe(quota, region) for quota in QUOTAS]}

    def _describe(self, quota: Quota, region: str) -> dict[str, Any]:
        return {
            "ServiceCode": "ec2",
            "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)",
            "QuotaArn": f"arn:aws:servicequotas:{region}:{DEFAULT_ACCOUNT_ID}:ec2/{quota.code}",
            "QuotaCode": quota.code,
            "QuotaName": quota.name,
            "Value": float(self.limits.get(quota.code, _VCPUS)),
            "Unit": "None",
            "Adjustable": True,
            "GlobalQuota": False,
        }
