"""The check of a proof that asks Cost Explorer, which costs $0.01."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta

from flowyml_aws.core.amounts import counted, usd
from flowyml_aws.core.errors import AwsRefusedError
from flowyml_aws.doctor.prove.report import Row, Verdict
from flowyml_aws.submission.billing import BilledCost

__all__ = ["check_billing"]

_DAYS = 14
_EXPECTED = "Cost Explorer has the costs with the tags of runs"


def check_billing(read: Callable[[date, date], Sequence[BilledCost]], today: date) -> Row:
    """Return the row of the check.

    Args:
        read: Returns the billed costs from a day to the day before another one.
        today: Today (UTC).
    """
    until = today + timedelta(days=1)
    try:
        costs = read(until - timedelta(days=_DAYS), until)
    except AwsRefusedError as error:
        return _row(verdict="not checked", reason=f"{error.what}: {error.why}; {error.fix}")
    days = {cost.day for cost in costs if cost.usd}
    total = usd(sum(cost.usd for cost in costs))
    return _row(verdict="agreed", observed=f"{total} on {counted(len(days), 'day')} of {_DAYS}")


def _row(verdict: Verdict, observed: str = "", reason: str = "") -> Row:
    return Row(
        part="account",
        check="billed costs",
        verdict=verdict,
        expected=_EXPECTED,
        observed=observed,
        reason=reason,
    )
