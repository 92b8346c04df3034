"""The check of a proof that sends a test notice to the recipients of the settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from flowyml_aws.core.amounts import counted
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.doctor.prove.report import Row, Verdict

__all__ = ["check_notices"]

_EXPECTED = "each recipient of the setting `notify` accepts a test notice"


def check_notices(
    recipients: Sequence[str], send: Callable[[], Mapping[str, FlowymlError | None]]
) -> Row:
    """Return the row of the check.

    Args:
        recipients: Recipients of the setting.
        send: Sends the test notice. Returns the error of each recipient, or None.
    """
    if not recipients:
        return _row("not checked", reason="the setting `notify` is not set")
    try:
        errors = send()
    except FlowymlError as error:
        return _row("deviated", reason=_text(error))
    refused = {name: error for name, error in errors.items() if error is not None}
    sent = f"{len(errors) - len(refused)} of {counted(len(errors), 'notice')} sent"
    reason = "; ".join(f"{name}: {_text(error)}" for name, error in refused.items())
    return _row("deviated" if refused else "agreed", sent, reason)


def _text(error: FlowymlError) -> str:
    return f"{error.what}: {error.why}; {error.fix}"


def _row(verdict: Verdict, observed: str = "", reason: str = "") -> Row:
    return Row(
        part="account",
        check="notices",
        verdict=verdict,
        expected=_EXPECTED,
        observed=observed,
        reason=reason,
    )
