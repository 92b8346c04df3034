"""Repetition of calls that fail because of an outage, until a deadline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from flowyml_aws.aws.errors import has_expired, has_reached_aws, is_transient
from flowyml_aws.core import clock

__all__ = ["CLIENT", "Patience", "Repetition", "patience_of_job"]

Answer = TypeVar("Answer")

_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.1, 10.0
_LONGEST_HICCUP_S = 1.0  # not worth a line in the log


@dataclass(frozen=True, slots=True)
class Patience:
    """Limits of the time for which a failed call is repeated.

    Attributes:
        outage_s: Seconds, if the service has answered before, or reports the outage itself.
        connect_s: Seconds, if no connection has ever worked: the network may not be set up at all.
        renews_credentials: Whether something other than the user renews expired credentials.
    """

    outage_s: float
    connect_s: float
    renews_credentials: bool

    def limit_s(self, error: Exception, has_answered: bool) -> float:
        """Return for how many seconds a call that failed is repeated.

        Args:
            error: Error of the call.
            has_answered: Whether the service has answered any call so far.
        """
        if not (is_transient(error) or (self.renews_credentials and has_expired(error))):
            return 0.0
        return self.outage_s if has_answered else self.connect_s


CLIENT = Patience(outage_s=60.0, connect_s=0.0, renews_credentials=False)
"""Patience of a client: its user sees a missing network at once, and can repeat the command."""


def patience_of_job(outage_s: float) -> Patience:
    """Return the patience of a job, which loses what it has computed if it gives up."""
    return Patience(outage_s, connect_s=min(60.0, outage_s), renews_credentials=True)


class Repetition:
    """Repeats calls of one client, in addition to botocore's own quick retries.

    Args:
        patience: Limits of the waiting time of a call.
        say: Called with a sentence when an outage begins and when it ends.
        sleep: Sleep function.
        clock: Seconds, from any start.
    """

    def __init__(
        self,
        patience: Patience,
        say: Callable[[str], None] = lambda _: None,
        sleep: Callable[[float], None] = clock.sleep,
        clock: Callable[[], float] = clock.monotonic,
    ) -> None:
        self._patience, self._say, self._sleep, self._clock = patience, say, sleep, clock
        self._has_answered = False

    def __call__(self, call: Callable[[], Answer], doing: str) -> Answer:
        """Return the answer of a call, which must be safe to repeat.

        Args:
            call: The call.
            doing: Description for the log, such as `read s3://bucket/key`.

        Raises:
            Exception: The error of the last call: not transient, or the time is up.
        """
        started_at, delay_s, is_outage = self._clock(), _FIRST_DELAY_S, False
        while True:
            try:
                answer = call()
            except Exception as error:
                self._has_answered |= has_reached_aws(error)
                limit_s = self._patience.limit_s(error, self._has_answered)
                if self._clock() - started_at + delay_s > limit_s:
                    raise
                if not is_outage and delay_s > _LONGEST_HICCUP_S:
                    is_outage = True
                    self._say(f"can't {doing}: trying for up to {limit_s:g} s\n{error}")
            else:
                self._has_answered = True
                if is_outage:
                    self._say(f"could {doing} after {self._clock() - started_at:.0f} s")
                return answer
            self._sleep(delay_s)
            delay_s = min(2 * delay_s, _LONGEST_DELAY_S)
