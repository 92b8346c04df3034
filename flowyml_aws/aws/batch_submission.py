"""Record of the submission of a run's Batch jobs, so that one client at a time submits them."""

from __future__ import annotations

from typing import Literal

from flowyml_aws.artifacts.documents import Document

__all__ = ["LISTED_AFTER_S", "Submission"]

LISTED_AFTER_S = 10.0
"""Seconds after which ListJobs shows a new job. AWS documents no limit; seconds are usual."""
_LEASE_S = 60.0  # a submitting client that has written nothing for longer is considered dead


class Submission(Document):
    """Record of one client's submission of a run, updated while it submits.

    Attributes:
        state: `going` while the client submits, then `complete`; `left` if it gave up and
            `job_ids` contains every job that exists, so that the next client need not wait.
        written_at: Seconds since the epoch.
        job_ids: Batch job ids by Batch job name.
    """

    version: Literal[1] = 1
    state: Literal["going", "left", "complete"]
    written_at: float
    job_ids: dict[str, str]

    def holds_lease(self, now: float) -> bool:
        """Return whether the client may still be submitting jobs."""
        return self.state == "going" and now - self.written_at < _LEASE_S

    def is_shown_by(self, listed_at: float, now: float) -> bool:
        """Return whether a listing shows every job that the client had submitted by `now`.

        Args:
            listed_at: Seconds since the epoch when the listing began.
            now: Seconds since the epoch, at most `listed_at`.
        """
        if self.state != "going":
            return True
        submitted_until = now if self.holds_lease(now) else self.written_at
        return listed_at - submitted_until >= LISTED_AFTER_S
