"""Polling of a run while AWS does not answer. The jobs of the run continue meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from flowyml_aws.core.clock import uptime_s
from flowyml_aws.core.errors import AwsUnavailableError
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.status import RunStatus

__all__ = ["OUTAGE_S", "AdvanceThroughOutages"]

OUTAGE_S = 600.0
"""Seconds for which polls may fail, in addition to the repetitions of each call."""


@dataclass(slots=True)
class AdvanceThroughOutages:
    """Advances a run; during an outage of AWS, returns the last status with the reason."""

    driver: RunDriver
    clock: Callable[[], float] = uptime_s
    _last: RunStatus | None = None
    _since: float | None = None

    def __call__(self) -> RunStatus:
        """Poll once, and return the status.

        Raises:
            AwsUnavailableError: AWS has not answered for `OUTAGE_S`, or never.
        """
        try:
            status = self.driver.advance()
        except AwsUnavailableError as error:
            now = self.clock()
            self._since = now if self._since is None else self._since
            if self._last is None or now - self._since > OUTAGE_S:
                raise
            minutes = f"{OUTAGE_S / 60:.0f} minutes"
            reason = f"does not answer ({error.why}): trying again for up to {minutes}"
            return replace(self._last, outage=reason)
        self._last, self._since = status, None
        return status
