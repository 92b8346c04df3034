"""Terraform's plans for combinations of options, with a provider that needs no account."""

from __future__ import annotations

import json
import re
import shutil
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.support.infra import ACCOUNT, INFRA, REGION
from tests.support.infra_tools import Terraform, find_terraform

pytestmark = [pytest.mark.system, pytest.mark.thorough]

PROVIDER = f"""
mock_provider "aws" {{
  mock_data "aws_caller_identity" {{
    defaults = {{ account_id = "{ACCOUNT}" }}
  }}
  mock_data "aws_partition" {{
    defaults = {{ partition = "aws", dns_suffix = "amazonaws.com" }}
  }}
  mock_data "aws_region" {{
    defaults = {{ name = "{REGION}" }}
  }}
}}
"""
RUN = """
run "{name}" {{
  command = plan

  variables {{
{variables}
  }}

  override_data {{
    target = data.aws_availability_zones.available
    values = {{ names = {zones} }}
  }}

  assert {{
    condition     = join(" ", aws_subnet.public[*].availability_zone) == "{used}"
    error_message = "zones of the subnets"
  }}

  assert {{
    condition     = length(distinct(aws_subnet.public[*].cidr_block)) == {subnets}
    error_message = "addresses of the subnets"
  }}

  assert {{
    condition     = join(" ", keys(aws_iam_role_policy.optional)) == "{policies}"
    error_message = "optional policies"
  }}

  assert {{
    condition     = join(" ", keys(aws_batch_job_queue.this)) == "{queues}"
    error_message = "queues"
  }}
}}
"""
KEY = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d"
NETWORK = {"vpc_id": "vpc-1", "subnet_ids": ["subnet-1"], "route_table_ids": ["rtb-1"]}


def block(number_of_zones: int, wanted: int | None, own: bool, kms: bool, spot: bool) -> str:
    """Return the test of one combination.

    Args:
        number_of_zones: Zones of the region.
        wanted: The option `zones`; None for its default.
        own: Whether the VPC is created.
        kms: Whether training jobs may use a key.
        spot: Whether GPUs are on spot capacity only.
    """
    zones = [f"{REGION}{letter}" for letter in "abcdef"[:number_of_zones]]
    used = zones[:wanted] if own else []
    values: dict[str, Any] = {
        "zones": wanted,
        "families": {"cpu": {}, "t4": {"capacity": ["spot"] if spot else ["on-demand", "spot"]}},
        "sagemaker_kms_key_arns": [KEY] if kms else [],
        **({} if own else NETWORK),
    }
    gpus = ["t4-spot"] if spot else ["t4", "t4-spot"]
    name = f"zones_{number_of_zones}_{wanted}_{'own' if own else 'existing'}"
    return RUN.format(
        name=f"{name}{'_kms' if kms else ''}{'_spot' if spot else ''}",
        variables="\n".join(f"    {key} = {json.dumps(value)}" for key, value in values.items()),
        zones=json.dumps(zones),
        used=" ".join(used),
        subnets=len(used),
        policies="sagemaker-keys" if kms else "",
        queues=" ".join(["cpu", "cpu-spot", "driver", *gpus]),
    )


@pytest.fixture
def module(tmp_path: Path) -> Terraform:
    """Terraform in a copy of the module."""
    ignored = shutil.ignore_patterns(".terraform*", "*.tfstate*", "example")
    shutil.copytree(INFRA, tmp_path / "infra", ignore=ignored)
    return find_terraform(tmp_path / "infra/terraform", tmp_path / "terraformrc", {})


def test_every_combination_of_options_can_be_planned(module: Terraform) -> None:
    blocks = [
        block(number, None, *options)
        for number, *options in product((2, 3, 6), (True, False), (True, False), (True, False))
    ]
    # A number of zones that the region has, and one that it has not.
    blocks += [block(6, 3, True, False, False), block(2, 3, True, False, False)]
    (module.folder / "all.tftest.hcl").write_text(PROVIDER + "".join(blocks))
    done = module.run("test", "-no-color")
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-3000:]
    assert re.search(rf"^Success! {len(blocks)} passed, 0 failed", done.stdout, re.M)
