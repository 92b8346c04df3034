"""The names of resources, which Terraform and CDK derive in the same way as the emulator."""

from __future__ import annotations

import re

import botocore.session
import pytest

from flowyml_aws.testing.account_policies import ROLES, placeholders
from tests.support.infra import ACCOUNT, INFRA

LONGEST = 18  # of the name of an account
ROLE_NAME, BUCKET_NAME = 64, 63  # limits of IAM and S3


def regions() -> list[str]:
    session = botocore.session.get_session()
    partitions = session.get_available_partitions()
    return [r for p in partitions for r in session.get_available_regions("ec2", p)]


def test_the_longest_name_of_an_account_is_the_one_that_is_checked() -> None:
    for path in ("terraform/variables.tf", "cdk/flowyml_account/options.py"):
        assert "[a-z][a-z0-9-]{0,16}[a-z0-9]" in (INFRA / path).read_text("utf-8")


@pytest.mark.parametrize("region", regions())
def test_names_are_within_the_limits_of_aws_in_every_region(region: str) -> None:
    named = placeholders("x" * LONGEST, ACCOUNT, region)
    roles = [named[f"{role}_role_arn"].rpartition("/")[2] for role in ROLES]
    assert max(len(role) for role in roles) <= ROLE_NAME
    assert len(named["bucket_arn"].rpartition(":")[2]) <= BUCKET_NAME


def test_accounts_of_the_same_name_in_two_regions_share_no_name_in_iam() -> None:
    virginia, ireland = (placeholders("main", ACCOUNT, r) for r in ("us-east-1", "eu-west-1"))
    for role in ROLES:
        assert virginia[f"{role}_role_arn"] != ireland[f"{role}_role_arn"]


def test_terraform_and_cdk_give_every_global_resource_a_name_with_the_region() -> None:
    terraform = (INFRA / "terraform/roles.tf").read_text("utf-8")
    assert set(re.findall(r'name +?= "\$\{local\.(\w+)\}', terraform)) == {"iam_prefix"}
    cdk = (INFRA / "cdk/flowyml_account/roles.py").read_text("utf-8")
    assert set(re.findall(r'_name=f"\{names\.(\w+)\}', cdk)) == {"iam_prefix"}
