"""Starts of containers that fail although nothing is wrong with the job."""

from __future__ import annotations

from random import Random

__all__ = ["TRANSIENT_REASONS", "Starts"]

# ECS's reasons as reported for jobs on AWS; see the sources in `aws/batch/retry.py`.
TRANSIENT_REASONS = (
    "CannotPullContainerError: context canceled",
    "CannotPullContainerError: Error response from daemon: Get https://registry: dial tcp: i/o "
    "timeout",
    "CannotPullContainerError: Error response from daemon: received unexpected HTTP status: 503 "
    "Service Unavailable",
    "DockerTimeoutError: Could not transition to started; timed out after waiting 3m0s",
    "CannotInspectContainerError: Could not transition to inspecting; timed out after waiting 30s",
    "ResourceInitializationError: unable to pull secrets or registry auth: context deadline "
    "exceeded",
)
_MOST_IN_A_ROW = 2


class Starts:
    """Decides which starts fail, and why.

    Args:
        rate: Fraction of the starts that fail at random. At most the first two of a job do.
        random: Source of random numbers.
    """

    def __init__(self, rate: float, random: Random) -> None:
        self._rate = rate
        self._random = random
        self._requested: list[str] = []

    def fail(self, times: int, reason: str) -> None:
        """Make the next starts fail for a reason."""
        self._requested += [reason] * times

    def failure(self, attempt: int) -> str | None:
        """Return why the start of a job's attempt fails, or None if it succeeds."""
        if self._requested:
            return self._requested.pop(0)
        if attempt > _MOST_IN_A_ROW or self._random.random() >= self._rate:
            return None
        return self._random.choice(TRANSIENT_REASONS)
