"""Comparison of what AWS bills with what was predicted and counted, by day and instance family."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from flowyml_aws.submission.costs import RunCost

__all__ = ["OTHER", "REQUEST_USD", "BilledCost", "ReconciledCost", "family_of", "reconcile"]

REQUEST_USD = 0.01
"""Price of a request to Cost Explorer; each page of a response is one."""
OTHER = "other"
"""Family of costs that no instance type names: disks, storage, transfers."""

_TYPE = re.compile(r"(?P<family>(?:ml\.)?[a-z][a-z0-9-]*)\.[a-z0-9-]+")


@dataclass(frozen=True, slots=True)
class BilledCost:
    """A cost that AWS bills.

    Attributes:
        day: Day of the use (UTC).
        family: Instance family, such as `m5` or `ml.m5`, or `OTHER`.
    """

    day: date
    family: str
    usd: float


@dataclass(frozen=True, slots=True)
class ReconciledCost:
    """The costs of one day and instance family.

    Attributes:
        predicted_usd: Sum of the predicted costs that are known; None if a job has none.
        counted_usd: Sum of the counted costs; None if a price is unknown.
        billed_usd: Cost that AWS bills.
    """

    day: date
    family: str
    predicted_usd: float | None
    counted_usd: float | None
    billed_usd: float

    @property
    def difference(self) -> float | None:
        """Billed cost in relation to the counted one, minus 1; None if nothing is counted."""
        return self.billed_usd / self.counted_usd - 1 if self.counted_usd else None


def family_of(usage_type: str) -> str:
    """Return the instance family of a usage type: `m5` of `USE1-BoxUsage:m5.large`."""
    match = _TYPE.fullmatch(usage_type.rpartition(":")[2])
    return OTHER if match is None else match["family"]


def reconcile(runs: Iterable[RunCost], billed: Iterable[BilledCost]) -> list[ReconciledCost]:
    """Return the costs of each day and family that has any, in this order.

    A job counts on the day of its start, also if it ends on another one. Drivers are left out: a
    run does not record their machines.
    """
    predicted: dict[tuple[date, str], list[float | None]] = {}
    counted: dict[tuple[date, str], list[float | None]] = {}
    for run in runs:
        for job in run.jobs:
            if job.counted_usd == 0:
                continue  # it never ran
            key = (job.day, family_of(job.instance_type or ""))
            predicted.setdefault(key, []).append(job.predicted_usd)
            counted.setdefault(key, []).append(job.counted_usd)
    bills: dict[tuple[date, str], float] = {}
    for bill in billed:
        bills[bill.day, bill.family] = bills.get((bill.day, bill.family), 0.0) + bill.usd
    return [
        ReconciledCost(
            day=day,
            family=family,
            predicted_usd=_sum(predicted.get((day, family), [])),
            counted_usd=_sum(counted.get((day, family), [])),
            billed_usd=bills.get((day, family), 0.0),
        )
        for day, family in sorted(counted.keys() | bills.keys())
    ]


def _sum(costs: list[float | None]) -> float | None:
    return None if None in costs else sum(cost for cost in costs if cost is not None)
