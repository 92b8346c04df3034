"""The documents of the emulated account: those that infra/ uses for a real one.

The folder `policies` and the file `user-data.mime` are links to `infra/account`, which Terraform
and CDK read, too.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from string import Template

__all__ = ["ROLES", "account_policy", "placeholders", "user_data"]

ROLES = ("user", "job", "execution", "driver", "sagemaker")
"""Roles of an account with a policy of their own, by their names without the prefix."""

_FOLDER = Path(__file__).with_name("policies")


def account_policy(name: str, placeholders: Mapping[str, str]) -> str:
    """Return a policy document as JSON.

    Args:
        name: Path of the file in the folder, without its extension.
        placeholders: Names and ARNs that the document refers to.

    Raises:
        KeyError: A placeholder of the document has no value.
    """
    text = (_FOLDER / f"{name}.json").read_text("utf-8")
    return Template(text).substitute(placeholders)


def placeholders(name: str, account: str, region: str) -> dict[str, str]:
    """Return the values of the placeholders, as infra/ derives them.

    Args:
        name: Name of the account in infra/.
        account: Id of the AWS account.
        region: AWS region.
    """

    def arn(service: str, resource: str) -> str:
        return f"arn:aws:{service}:{region}:{account}:{resource}"

    prefix = f"flowyml-{name}"
    bucket_arn = f"arn:aws:s3:::{prefix}-{account}-{region}"
    return {
        "partition": "aws",
        "region": region,
        "account": account,
        "prefix": prefix,
        "bucket_arn": bucket_arn,
        "store_arn": f"{bucket_arn}/flowyml",
        "repository_arn": arn("ecr", f"repository/{prefix}"),
        "log_group_arn": arn("logs", f"log-group:/flowyml-aws/{name}"),
        "parameter_arn": arn("ssm", f"parameter/flowyml-aws/{name}"),
        "topic_arn": arn("sns", f"{prefix}-alerts"),
        "build_project_arn": arn("codebuild", f"project/{prefix}-images"),
        "principal": f"arn:aws:iam::{account}:root",
        # IAM's names are unique in an account, in all its regions.
        **{
            f"{role}_role_arn": f"arn:aws:iam::{account}:role/{prefix}-{region}-{role}"
            for role in (*ROLES, "scheduler", "builds")
        },
    }


def user_data() -> str:
    """Return the user data of instances, in the encoding of launch templates."""
    return base64.b64encode(_FOLDER.with_name("user-data.mime").read_bytes()).decode()
