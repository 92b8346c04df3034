"""Attempts that were lost, and what they cost.

An attempt is lost if its host was lost, if it ended without a result and was repeated, or if its
result does not count any more because a value was damaged. It costs the price of its machine for
the time that it ran.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from flowyml_aws.artifacts.documents import Document
from flowyml_aws.core.amounts import usd

__all__ = ["EndedAttempt", "LostAttempts", "lost_text", "price_attempts", "total_lost"]

_MAX_NAMES = 3


@dataclass(frozen=True, slots=True)
class EndedAttempt:
    """An attempt that ended without a result, as its service reports it.

    Attributes:
        repeated_as: Number of the attempt that repeats it.
        seconds: Time that it ran; 0 if it never started or costs nothing.
        instance_type: Type of its machine; None for the planned one.
    """

    repeated_as: int
    seconds: float = 0.0
    instance_type: str | None = None


class LostAttempts(Document):
    """The lost attempts of a job or a run, added up.

    Attributes:
        count: Number of attempts.
        cost_usd: Cost of those whose price is known.
        unpriced_s: Seconds of those whose price is unknown.
    """

    count: int = 0
    cost_usd: float = 0.0
    unpriced_s: float = 0.0

    def __str__(self) -> str:
        attempts = "1 attempt" if self.count == 1 else f"{self.count:,} attempts"
        parts = [f"{attempts} lost"]
        if self.cost_usd:
            parts.append(usd(self.cost_usd))
        if self.unpriced_s:
            parts.append(f"price unknown for {_hours_text(self.unpriced_s)}")
        return ", ".join(parts)


def price_attempts(
    attempts: Iterable[EndedAttempt], price_usd_hour: Callable[[str | None], float | None]
) -> LostAttempts:
    """Return the sum of lost attempts.

    Args:
        attempts: The attempts.
        price_usd_hour: Returns the price of an instance type, or of the planned one for None; None
            if it is unknown.
    """
    count, cost_usd, unpriced_s = 0, 0.0, 0.0
    for attempt in attempts:
        count += 1
        price = price_usd_hour(attempt.instance_type)
        if price is None:
            unpriced_s += attempt.seconds
        else:
            cost_usd += price * attempt.seconds / 3600
    return LostAttempts(count=count, cost_usd=cost_usd, unpriced_s=unpriced_s)


def total_lost(sums: Iterable[LostAttempts]) -> LostAttempts:
    """Return the sum of several sums."""
    rows = list(sums)
    return LostAttempts(
        count=sum(row.count for row in rows),
        cost_usd=sum(row.cost_usd for row in rows),
        unpriced_s=sum(row.unpriced_s for row in rows),
    )


def lost_text(jobs: Mapping[str, LostAttempts]) -> str | None:
    """Return a line on the lost attempts of a run; None if there is none.

    Args:
        jobs: Lost attempts by job.

    Example: `3 attempts lost, $0.43 (train 2, score 1)`.
    """
    total = total_lost(jobs.values())
    if not total.count:
        return None
    most = sorted(jobs, key=lambda job: -jobs[job].count)
    names = ", ".join(f"{job} {jobs[job].count}" for job in most[:_MAX_NAMES])
    more = f" and {len(most) - _MAX_NAMES} more jobs" if len(most) > _MAX_NAMES else ""
    return f"{total} ({names}{more})"


def _hours_text(seconds: float) -> str:
    return "less than 0.01 h" if seconds < 36 else f"{seconds / 3600:,.2f} h"
