"""Quotas of vCPUs for jobs of several nodes, with stubbed responses."""

from __future__ import annotations

from typing import Any

import pytest
from boto3 import Session
from botocore.stub import Stubber

from flowyml_aws.aws.ec2.vcpu_quotas import TypesAboveQuota
from flowyml_aws.catalog.types import InstanceType
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.plan import InstanceOffer, PlannedJob
from tests.support.plans import a_job

TYPES = [InstanceType(f"g5.{name}", vcpus, 1, 1) for name, vcpus in (("s", 4), ("l", 8), ("x", 32))]


def a_job_on(instance_type: str, nodes: int) -> PlannedJob:
    offers = (InstanceOffer(instance_type=instance_type, price_usd_hour=1.0, nodes=nodes),)
    return a_job("train", offers=offers).model_copy(update={"needs": Needs(nodes=nodes)})


@pytest.fixture
def service_quotas() -> Any:
    return Session().client(
        "service-quotas", "eu-west-3", aws_access_key_id="x", aws_secret_access_key="x"
    )


def test_a_quota_limits_the_nodes_on_a_type_that_fits_once(service_quotas: Any) -> None:
    lookup = TypesAboveQuota(lambda: service_quotas, "eu-west-3")
    quota = {"Quota": {"QuotaCode": "L-DB2E81BA", "Value": 16.0}}
    with Stubber(service_quotas) as stub:
        stub.add_response("get_service_quota", quota)
        assert not lookup.close([a_job_on("g5.s", 4)], TYPES)
        assert lookup.close([a_job_on("g5.l", 4)], TYPES)
        assert not lookup.close([a_job_on("g5.s", 4)], TYPES)
    assert lookup.closed["on-demand"].keys() == {"g5.x"}
    assert "request at least 32" in lookup.closed["on-demand"]["g5.x"]
    limits = lookup.node_limits["on-demand"]
    assert {name: limit.nodes for name, limit in limits.items()} == {"g5.l": 2}
    assert "is 16 vCPUs; request at least 32" in limits["g5.l"].reason
