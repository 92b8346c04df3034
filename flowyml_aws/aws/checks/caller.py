"""Checks of the caller: identity, expiry of the credentials, and clock skew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.checks.probe import Probe
from flowyml_aws.aws.errors import refused
from flowyml_aws.core.errors import AwsRefusedError
from flowyml_aws.core.findings import Finding
from flowyml_aws.planning.wording import time_text

if TYPE_CHECKING:
    from mypy_boto3_sts import STSClient

__all__ = ["check_clock", "check_credentials", "judge_clock", "judge_expiry"]

# Signature Version 4: largest accepted clock skew. S3 accepts 15 minutes, most services 5.
_MAX_SKEW_S = 300
_SUSPICIOUS_SKEW_S = 60
_SOON_S = 1800
_SIGN_IN = "sign in again with `aws sso login`, or get new keys"
# Credential sources that can't renew expired credentials.
_NOT_RENEWABLE = ("env", "unknown source")


def check_credentials(probe: Probe, clock: Callable[[], float]) -> Sequence[Finding]:
    """Report the caller's identity, and when its credentials expire.

    Raises:
        AwsRefusedError: Credentials are missing, or AWS does not accept them.
    """
    credentials = probe.credentials()
    is_renewed = _source(credentials) not in _NOT_RENEWABLE
    expiry = judge_expiry(_expiry(credentials), is_renewed, clock())
    for finding in expiry:
        if finding.level == "error":
            raise AwsRefusedError(finding.what, finding.why, finding.fix)
    sts: STSClient = probe.client("sts")
    try:
        identity = sts.get_caller_identity()
    except (ClientError, BotoCoreError) as error:
        raise refused(error, "verify the credentials (sts:GetCallerIdentity)") from error
    caller = f"{identity['Arn']} (account {identity['Account']}; from {_source(credentials)})"
    return [Finding("credentials", "ok", caller), *expiry]


def judge_expiry(expires_at: float | None, is_renewed: bool, now: float) -> Sequence[Finding]:
    """Return the findings on the expiry of credentials, none if they never expire.

    Args:
        expires_at: Seconds since the epoch; None for never.
        is_renewed: Whether boto3 renews the credentials by itself.
        now: Seconds since the epoch.
    """
    if expires_at is None:
        return []
    left_s = expires_at - now
    state = f"expire in {time_text(left_s)}" if left_s > 0 else "have expired"
    what = f"The credentials {state}"
    if is_renewed:
        return [Finding("expiry", "ok", f"{what}; boto3 renews them as long as it can")]
    if left_s <= 0:
        return [Finding("expired", "error", what, "AWS refuses calls with them", _SIGN_IN)]
    if left_s < _SOON_S:
        why = "submitted jobs continue without this machine, but watching them needs credentials"
        return [Finding("expires-soon", "warning", what, why, _SIGN_IN)]
    return [Finding("expiry", "ok", what)]


def check_clock(probe: Probe, clock: Callable[[], float]) -> Sequence[Finding]:
    """Check this machine's clock against AWS's: signatures contain the time.

    Raises:
        AwsRefusedError: No response contains AWS's time.
    """
    if _expired(probe.credentials(), clock()):
        raise AwsRefusedError(
            what="The clock was not checked against AWS",
            why="the credentials have expired",
            fix=_SIGN_IN,
        )
    sts: STSClient = probe.client("sts")
    try:
        response: Any = sts.get_caller_identity()
    except ClientError as error:
        response = error.response  # a refusal has a date, too
    except BotoCoreError as error:
        raise refused(error, "get the time from AWS") from error
    now = clock()
    date = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    if date is None:
        raise AwsRefusedError(
            what="Can't get the time from AWS",
            why="the response has no Date header",
            fix="check the proxy or gateway between this machine and AWS",
        )
    return [judge_clock(parsedate_to_datetime(date).timestamp(), now)]


def judge_clock(aws_time: float, local_time: float) -> Finding:
    """Return the finding on the clock skew. Both times are in seconds since the epoch."""
    skew_s = local_time - aws_time
    direction = "ahead of" if skew_s > 0 else "behind"
    what = f"This machine's clock is {time_text(abs(skew_s))} {direction} AWS's"
    fix = "set the clock with `timedatectl set-ntp true`, or in the system's date settings"
    if abs(skew_s) > _MAX_SKEW_S:
        why = f"AWS refuses signatures that are off by more than {_MAX_SKEW_S // 60} minutes"
        return Finding("clock-skew", "error", what, why, fix)
    if abs(skew_s) > _SUSPICIOUS_SKEW_S:
        why = f"AWS refuses signatures that are off by more than {_MAX_SKEW_S // 60} minutes"
        return Finding("clock-skew", "warning", what, why, fix)
    return Finding("clock", "ok", "This machine's clock agrees with AWS's")


def _expired(credentials: Any, now: float) -> bool:
    expires_at = _expiry(credentials)
    return expires_at is not None and expires_at <= now


def _source(credentials: Any) -> str:
    return str(getattr(credentials, "method", None) or "unknown source")


def _expiry(credentials: Any) -> float | None:
    # A private attribute; `aws configure export-credentials` reads it in the same way.
    expires: datetime | None = getattr(credentials, "_expiry_time", None)
    return None if expires is None else expires.timestamp()
