"""What an account tells of itself: its own settings, and the types that its region offers."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.errors import error_code, refused
from flowyml_aws.aws.instance_types import offered_names
from flowyml_aws.core.errors import SettingsError

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ssm import SSMClient

__all__ = ["offered_types", "parameter_name", "read_account"]


def parameter_name(account: str) -> str:
    """The SSM parameter that an account's name stands for; a path stands for itself."""
    return account if "/" in account else f"/flowyml-aws/{account}"


def read_account(ssm: SSMClient, account: str) -> str:
    """The settings that the account's infrastructure has written, as JSON.

    Args:
        ssm: Client.
        account: Its name, or that of the parameter.

    Raises:
        SettingsError: There is no such parameter.
        AwsRefusedError: AWS denied the call.
    """
    parameter = parameter_name(account)
    try:
        return ssm.get_parameter(Name=parameter)["Parameter"]["Value"]
    except ClientError as error:
        if error_code(error) == "ParameterNotFound":
            raise SettingsError(
                what=f"The account has no parameter {parameter!r}",
                why="the setting `account` names it, and this region's SSM does not have it",
                fix="set the account up with infra/, or correct `account` or the region",
            ) from error
        raise refused(error, f"read the parameter {parameter!r}") from error
    except BotoCoreError as error:
        raise refused(error, f"read the parameter {parameter!r}") from error


def offered_types(ec2: EC2Client) -> Collection[str] | None:
    """The instance types that the client's region offers; None where asking is not allowed.

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
