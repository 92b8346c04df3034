"""The emulated account's service quotas: EC2's vCPUs, which moto lacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID

from flowyml_aws.aws.quotas import QUOTAS, Quota
from flowyml_aws.testing.api import Answer, Rewrite
from flowyml_aws.testing.refusal import Refusal

__all__ = ["NoSuchResourceException", "QuotasApi"]

_VCPUS = 4096.0


class NoSuchResourceException(Refusal):
    """What the service answers about a quota that there is not."""


class QuotasApi:
    """Service Quotas' operations on EC2's quotas.

    Attributes:
        limits: vCPUs by the quota's code; what is not there is plenty.
        answers: Operation to what answers it, from the request, its region and its size in bytes.
        rewrites: None: moto knows nothing of these quotas.
    """

    def __init__(self) -> None:
        self.limits: dict[str, float] = {}
        self.answers: Mapping[str, Answer] = {
            "GetServiceQuota": self._get,
            "ListServiceQuotas": self._list,
        }
        self.rewrites: Mapping[str, Rewrite] = {}

    def _get(self, request: Mapping[str, Any], region: str, size: int) -> dict[str, Any]:
        for quota in QUOTAS:
            if (request.get("ServiceCode"), request.get("QuotaCode")) == ("ec2", quota.code):
                return {"Quota": self._told(quota, region)}
        raise NoSuchResourceException("The request failed because the quota does not exist.")

    def _list(self, request: Mapping[str, Any], region: str, size: int) -> dict[str, Any]:
        if request.get("ServiceCode") != "ec2":
            raise NoSuchResourceException("The request failed because the service does not exist.")
        return {"Quotas": [self._told(quota, region) for quota in QUOTAS]}

    def _told(self, quota: Quota, region: str) -> dict[str, Any]:
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
