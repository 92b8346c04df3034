"""The pools of the emulated compute environments."""

from __future__ import annotations

from typing import Any

import pytest
from moto.batch.models import ComputeEnvironment, batch_backends
from moto.core.models import DEFAULT_ACCOUNT_ID

from flowyml_aws.testing import Emulator
from flowyml_aws.testing.account import REGION
from flowyml_aws.testing.batch.pools import pool_of

pytestmark = pytest.mark.contract

T4 = "flowyml-emulator-t4"


def environment(name: str) -> ComputeEnvironment:
    found = batch_backends[DEFAULT_ACCOUNT_ID][REGION].get_compute_environment(name)
    assert found is not None
    return found


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(("local_data_root", "disk_gib"), [(False, 80), (True, 96)])
def test_containers_are_on_local_disks_if_the_queue_says_so(
    local_data_root: bool, disk_gib: int
) -> None:
    pool = pool_of(environment(T4), REGION, local_data_root)
    assert pool is not None
    assert [(o.instance_type, o.disk_gib) for o in pool.offers] == [("g4dn.xlarge", disk_gib)]


def test_an_environment_without_its_launch_template_starts_no_instance(
    aws: Emulator, batch: Any, eventually: Any
) -> None:
    aws.client("ec2").delete_launch_template(LaunchTemplateName="flowyml-emulator")
    assert pool_of(environment(T4), REGION, local_data_root=False) is None
    job = batch.submit()
    eventually(lambda: batch.status(job) == "RUNNABLE")


def test_instances_with_an_efa_are_of_types_that_have_some(aws: Emulator) -> None:
    template = aws.client("ec2").create_launch_template(
        LaunchTemplateName="efa",
        LaunchTemplateData={"NetworkInterfaces": [{"InterfaceType": "efa"}]},
    )["LaunchTemplate"]
    found = environment(T4)
    types = ["g4dn.xlarge", "g4dn.12xlarge"]
    found.compute_resources |= {
        "instanceTypes": types,
        "launchTemplate": {"launchTemplateId": template["LaunchTemplateId"]},
    }
    pool = pool_of(found, REGION, local_data_root=False)
    assert pool is not None
    assert [offer.instance_type for offer in pool.offers] == ["g4dn.12xlarge"]
