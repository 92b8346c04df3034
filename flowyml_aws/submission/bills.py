"""Bills of the jobs of a run, and the wait for those that are not known yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from flowyml_aws.submission.record import Bill

__all__ = ["BILLS_WAIT_S", "BillsWait", "JobBills"]

BILLS_WAIT_S = 300.0
"""Seconds for which the client that ends a run waits for bills.

A job ends at its service seconds to a minute after it has stored its result.
"""


@dataclass(frozen=True, slots=True)
class JobBills:
    """The bills of the jobs of a run.

    Attributes:
        known: Bills by job, summed over the attempts whose bill is known.
        awaited: Jobs with an attempt that its service has not ended or not billed yet.
    """

    known: Mapping[str, Bill] = field(default_factory=dict)
    awaited: frozenset[str] = frozenset()


@dataclass(slots=True)
class BillsWait:
    """The wait of one client for the bills of a run that has ended.

    Attributes:
        clock: Seconds since any start.
    """

    clock: Callable[[], float]
    _since: float | None = None

    def continues(self, bills: JobBills) -> bool:
        """Return whether to ask again, for at most `BILLS_WAIT_S` after the first call."""
        now = self.clock()
        self._since = now if self._since is None else self._since
        return bool(bills.awaited) and now - self._since < BILLS_WAIT_S
