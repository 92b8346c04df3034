"""Contents of `infra/`, for tests that need neither Terraform nor CDK."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flowyml_aws.testing.account_policies import account_policy, placeholders

__all__ = [
    "ACCOUNT",
    "INFRA",
    "NAME",
    "PREFIX",
    "REGION",
    "efa",
    "families",
    "named",
    "policy",
    "settings",
]

INFRA = Path(__file__).parents[2] / "infra"
ACCOUNT, REGION, NAME = "123456789012", "us-east-1", "main"
PREFIX = f"flowyml-{NAME}"
BUCKET = f"{PREFIX}-{ACCOUNT}-{REGION}"


def families() -> dict[str, Any]:
    """Return the file that Terraform and CDK read."""
    return json.loads((INFRA / "account/families.json").read_text("utf-8"))


def efa() -> dict[str, Any]:
    """Return the file with the Elastic Fabric Adapters of instance types."""
    return json.loads((INFRA / "account/efa.json").read_text("utf-8"))


def named() -> Mapping[str, str]:
    """Return the names and ARNs that the policies refer to, for the account `main`."""
    return placeholders(NAME, ACCOUNT, REGION)


def policy(name: str) -> dict[str, Any]:
    """Return a document of `infra/account/policies`, for the account `main`."""
    return json.loads(account_policy(name, named()))


def settings(queues: list[str]) -> dict[str, Any]:
    """Return the expected value of the account's parameter, for Terraform and CDK."""
    return {
        "version": 1,
        "store": f"s3://{BUCKET}/flowyml",
        "queues": [f"{PREFIX}-{queue}" for queue in queues],
        "repository": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{PREFIX}",
        "job_role": named()["job_role_arn"],
        "execution_role": named()["execution_role_arn"],
        "log_group": f"/flowyml-aws/{NAME}",
        "driver_queue": f"{PREFIX}-driver",
        "driver_role": named()["driver_role_arn"],
        "sagemaker_role": named()["sagemaker_role_arn"],
    }
