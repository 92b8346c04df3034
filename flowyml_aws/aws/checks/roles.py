"""Checks of the roles of jobs: they exist, and trust the service that assumes them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.errors import error_code, refused
from flowyml_aws.core.findings import Finding

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient

__all__ = ["check_role", "trusts"]


def check_role(iam: IAMClient, setting: str, arn: str, service: str) -> Sequence[Finding]:
    """Check that a role exists and that a service may assume it for jobs.

    Args:
        iam: IAM client.
        setting: Name of the setting that contains the role's ARN.
        arn: ARN of the role.
        service: Service principal, such as `ecs-tasks.amazonaws.com`.

    Raises:
        AwsRefusedError: AWS denied the call.
    """
    name = arn.rpartition("/")[2]
    try:
        role = iam.get_role(RoleName=name)["Role"]
    except ClientError as error:
        if error_code(error) == "NoSuchEntity":
            return [
                Finding(
                    "role-missing",
                    "error",
                    f"Role {name!r} does not exist",
                    f"the setting `{setting}` is {arn}",
                    f"correct `{setting}`, or set the account up with infra/; a new role is "
                    "visible after seconds",
                )
            ]
        raise refused(error, f"look up role {name!r} (iam:GetRole)") from error
    except BotoCoreError as error:
        raise refused(error, f"look up role {name!r} (iam:GetRole)") from error
    if role["Arn"] != arn:
        return [
            Finding(
                "role-elsewhere",
                "error",
                f"Role {name!r} of this account is {role['Arn']}",
                f"the setting `{setting}` is {arn}",
                "correct the setting, or use the credentials of the other account",
            )
        ]
    if not trusts(_policy(role.get("AssumeRolePolicyDocument")), service):
        return [
            Finding(
                "role-not-trusting",
                "error",
                f"Jobs can't use role {name!r}",
                f"its trust policy does not allow {service} to assume it",
                f"allow sts:AssumeRole for {service} in the role's trust policy",
            )
        ]
    return [Finding("role", "ok", f"Jobs can use role {name!r} ({setting})")]


def trusts(policy: Mapping[str, Any], service: str) -> bool:
    """Return whether a trust policy lets a service assume the role, ignoring conditions."""
    statements = policy.get("Statement", [])
    for statement in statements if isinstance(statements, list) else [statements]:
        principal = statement.get("Principal", {})
        if principal == "*":
            principal = {"Service": "*"}
        services = _list(principal.get("Service", []))
        actions = _list(statement.get("Action", []))
        is_allowed = any(action in ("sts:AssumeRole", "sts:*", "*") for action in actions)
        is_for_service = bool({service, "*"} & set(services))
        if statement.get("Effect") == "Allow" and is_allowed and is_for_service:
            return True
    return False


def _policy(document: Any) -> Mapping[str, Any]:
    policy = json.loads(unquote(document)) if isinstance(document, str) else document
    return policy if isinstance(policy, dict) else {}


def _list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
