"""The roles that jobs get: there, and for the service that gives them."""

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
    """Whether a role exists and a service may give it to jobs.

    Args:
        iam: Client.
        setting: That names the role.
        arn: The role's.
        service: Such as `ecs-tasks.amazonaws.com`.

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
                    f"correct `{setting}`, or set the account up with infra/",
                )
            ]
        raise refused(error, f"look at role {name!r} (iam:GetRole)") from error
    except BotoCoreError as error:
        raise refused(error, f"look at role {name!r} (iam:GetRole)") from error
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
                f"Role {name!r} can't be given to jobs",
                f"its trust policy does not let {service} assume it",
                f"let {service} call sts:AssumeRole in the role's trust policy",
            )
        ]
    return [Finding("role", "ok", f"Role {name!r} ({setting}) can be given to jobs")]


def trusts(policy: Mapping[str, Any], service: str) -> bool:
    """Whether a trust policy lets a service assume the role; its conditions are not judged."""
    statements = policy.get("Statement", [])
    for one in statements if isinstance(statements, list) else [statements]:
        principal = one.get("Principal", {})
        if principal == "*":
            principal = {"Service": "*"}
        services, actions = _list(principal.get("Service", [])), _list(one.get("Action", []))
        may = any(action in ("sts:AssumeRole", "sts:*", "*") for action in actions)
        if one.get("Effect") == "Allow" and may and ({service, "*"} & set(services)):
            return True
    return False


def _policy(document: Any) -> Mapping[str, Any]:
    told = json.loads(unquote(document)) if isinstance(document, str) else document
    return told if isinstance(told, dict) else {}


def _list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
