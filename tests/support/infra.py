"""Contents of `infra/`, for tests that need neither Terraform nor CDK."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

__all__ = [
    "ACCOUNT",
    "INFRA",
    "NAME",
    "PREFIX",
    "REGION",
    "families",
    "named",
    "policy",
    "settings",
]

INFRA = Path(__file__).parents[2] / "infra"
ACCOUNT, REGION, NAME = "123456789012", "us-east-1", "main"
PREFIX = f"flowyml-{NAME}"
BUCKET = f"{PREFIX}-{ACCOUNT}-{REGION}"
ROLES = ("job", "execution", "driver", "sagemaker")


def families() -> dict[str, Any]:
    """Return the file that Terraform and CDK read."""
    return json.loads((INFRA / "account/families.json").read_text("utf-8"))


def _arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


def named() -> Mapping[str, str]:
    """Return the names and ARNs that the policies refer to, for the account `main`."""
    return {
        "partition": "aws",
        "region": REGION,
        "account": ACCOUNT,
        "prefix": PREFIX,
        "bucket_arn": f"arn:aws:s3:::{BUCKET}",
        "store_arn": f"arn:aws:s3:::{BUCKET}/flowyml",
        "repository_arn": _arn("ecr", f"repository/{PREFIX}"),
        "log_group_arn": _arn("logs", f"log-group:/flowyml-aws/{NAME}"),
        "parameter_arn": _arn("ssm", f"parameter/flowyml-aws/{NAME}"),
        "topic_arn": _arn("sns", f"{PREFIX}-alerts"),
        "principal": f"arn:aws:iam::{ACCOUNT}:root",
        **{f"{role}_role_arn": f"arn:aws:iam::{ACCOUNT}:role/{PREFIX}-{role}" for role in ROLES},
    }


def policy(name: str) -> dict[str, Any]:
    """Return a document of `infra/account/policies`, for the account `main`."""
    text = (INFRA / "account/policies" / f"{name}.json").read_text("utf-8")
    return json.loads(Template(text).substitute(named()))


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
