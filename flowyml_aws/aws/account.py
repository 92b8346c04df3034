"""Account lookups: its settings in SSM, and the instance types that its region offers."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.ec2.instance_types import offered_names
from flowyml_aws.aws.errors import error_code, refused
from flowyml_aws.core.errors import AwsRefusedError, SettingsError

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ssm import SSMClient

__all__ = ["offered_types", "parameter_name", "read_account"]


def parameter_name(account: str) -> str:
    """Return the SSM parameter of an account name; a parameter path is returned unchanged."""
    return account if "/" in account else f"/flowyml-aws/{account}"


def read_account(ssm: SSMClient, account: str) -> str:
    """Return the settings that the account's infrastructure wrote, as JSON.

    Args:
        ssm: SSM client.
        account: Name of the account, or path of the parameter.

    Raises:
        SettingsError: The parameter does not exist.
        AwsRefusedError: AWS denied the call.
    """
    parameter = parameter_name(account)
    try:
        return ssm.get_parameter(Name=parameter)["Parameter"]["Value"]
    except ClientError as error:
        if error_code(error) == "ParameterNotFound":
            raise SettingsError(
                what=f"The account has no parameter {parameter!r}",
                why="the setting `account` names it, but it does not exist in this region's SSM",
                fix="set the account up with infra/, or correct `account` or the region",
            ) from error
        denied = refused(error, f"read the parameter {parameter!r}")
        if error_code(error).startswith("AccessDenied"):
            # A policy allows the parameters of certain accounts, so a wrong name is denied.
            fix = f"correct `account` if the name is wrong; otherwise {denied.fix}"
            raise AwsRefusedError(denied.what, denied.why, fix) from error
        raise denied from error
    except BotoCoreError as error:
        raise refused(error, f"read the parameter {parameter!r}") from error


def offered_types(ec2: EC2Client) -> Collection[str] | None:
    """Return the instance types that the client's region offers, or None if listing is denied.

    Raises:
        AwsRefusedError: The call failed for another reason.
    """
    try:
        return offered_names(ec2)
    except ClientError as error:
        if error_code(error) in ("UnauthorizedOperation", "AccessDenied", "AccessDeniedException"):
            return None
        raise refused(error, "list the instance types that the region offers") from error
    except BotoCoreError as error:
        raise refused(error, "list the instance types that the region offers") from error
