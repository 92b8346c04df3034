"""Who calls, for how long still, and whether the clocks agree."""

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

# Signature Version 4: a request may be this much off. S3 grants 15 minutes, most others 5.
_MOST_SKEW_S = 300
_STRANGE_SKEW_S = 60
_SOON_S = 1800
_SIGN_IN = "sign in again: `aws sso login`, or get new keys"
# Sources of credentials that give no new ones when those have expired.
_TAKEN_AS_THEY_ARE = ("env", "unknown source")


def check_credentials(probe: Probe, clock: Callable[[], float]) -> Sequence[Finding]:
    """Whose credentials are used, and when they expire.

    Raises:
        AwsRefusedError: There are none, or AWS does not accept them.
    """
    credentials = probe.credentials()
    renewed = _source(credentials) not in _TAKEN_AS_THEY_ARE
    expiry = judge_expiry(_expiry(credentials), renewed, clock())
    for one in expiry:
        if one.level == "error":
            raise AwsRefusedError(one.what, one.why, one.fix)
    sts: STSClient = probe.client("sts")
    try:
        identity = sts.get_caller_identity()
    except (ClientError, BotoCoreError) as error:
        raise refused(error, "find out who you are (sts:GetCallerIdentity)") from error
    who = f"{identity['Arn']} (account {identity['Account']}; from {_source(credentials)})"
    return [Finding("credentials", "ok", who), *expiry]


def judge_expiry(expires_at: float | None, renewed: bool, now: float) -> Sequence[Finding]:
    """What to know of credentials that end.

    Args:
        expires_at: When, in seconds since the epoch; None for never.
        renewed: Whether boto3 gets new ones by itself.
        now: Seconds since the epoch.
    """
    if expires_at is None:
        return []
    left_s = expires_at - now
    told = f"The credentials expire in {time_text(left_s)}" if left_s > 0 else "They have expired"
    if renewed:
        return [Finding("expiry", "ok", f"{told}; boto3 renews them while it may")]
    if left_s <= 0:
        return [Finding("expired", "error", told, "AWS refuses calls with them", _SIGN_IN)]
    if left_s < _SOON_S:
        why = "a run goes on without this machine, but to watch it needs credentials"
        return [Finding("expires-soon", "warning", told, why, _SIGN_IN)]
    return [Finding("expiry", "ok", told)]


def check_clock(probe: Probe, clock: Callable[[], float]) -> Sequence[Finding]:
    """Whether this machine's clock agrees with AWS's: signatures tell the time.

    Raises:
        AwsRefusedError: No answer tells AWS's time.
    """
    if _expired(probe.credentials(), clock()):
        raise AwsRefusedError(
            what="AWS was not asked for the time",
            why="the credentials have expired",
            fix=_SIGN_IN,
        )
    sts: STSClient = probe.client("sts")
    try:
        answer: Any = sts.get_caller_identity()
    except ClientError as error:
        answer = error.response  # what refuses has a clock, too
    except BotoCoreError as error:
        raise refused(error, "ask AWS for the time") from error
    now = clock()
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    if date is None:
        raise AwsRefusedError(
            what="AWS's time is unknown",
            why="the answer has no header Date",
            fix="look at the proxy or gateway between this machine and AWS",
        )
    return [judge_clock(parsedate_to_datetime(date).timestamp(), now)]


def judge_clock(theirs: float, ours: float) -> Finding:
    """What the difference of two clocks means; both in seconds since the epoch."""
    off_s = ours - theirs
    how = "ahead of" if off_s > 0 else "behind"
    what = f"This machine's clock is {time_text(abs(off_s))} {how} AWS's"
    fix = "set the clock: `timedatectl set-ntp true`, or the system's date settings"
    if abs(off_s) > _MOST_SKEW_S:
        why = f"AWS refuses signatures that are off by more than {_MOST_SKEW_S // 60} minutes"
        return Finding("clock-skew", "error", what, why, fix)
    if abs(off_s) > _STRANGE_SKEW_S:
        why = f"above {_MOST_SKEW_S // 60} minutes AWS refuses signatures"
        return Finding("clock-skew", "warning", what, why, fix)
    return Finding("clock", "ok", "This machine's clock agrees with AWS's")


def _expired(credentials: Any, now: float) -> bool:
    expires_at = _expiry(credentials)
    return expires_at is not None and expires_at <= now


def _source(credentials: Any) -> str:
    return str(getattr(credentials, "method", None) or "unknown source")


def _expiry(credentials: Any) -> float | None:
    # Private, and the way in which the AWS CLI's own `export-credentials` reads it.
    expires: datetime | None = getattr(credentials, "_expiry_time", None)
    return None if expires is None else expires.timestamp()
