"""Shorter waits of clients, so that schedules take seconds instead of minutes.

Only the waits that real time would make long: leases, and the time until a listing is up to date.
Their order stays the same as in the product, and the emulator's listings are as much faster.
"""

from __future__ import annotations

from flowyml_aws.aws import batch, batch_submission, sagemaker
from flowyml_aws.submission import garbage

__all__ = ["PROPAGATION_S", "STOP_GRACE_S", "shorten_waits"]

PROPAGATION_S = 0.3
"""Seconds until the emulator's listings show a change; up to 5 by default."""
STOP_GRACE_S = 4.0
"""Seconds between SIGTERM and SIGKILL of a job; 30 on Batch, 120 on SageMaker."""


def shorten_waits() -> None:
    """Shorten the waits of this process, for good."""
    # The store's times have a resolution of a second, so nothing can be shorter than that.
    batch_submission.LISTED_AFTER_S = 1.5
    batch_submission._PROOF_S = 1.0
    batch_submission._LEASE_S = 4.0
    batch._VISIBLE_AFTER_S = 4.0
    sagemaker._SETTLING_S = 4.0
    garbage.SETTLE_S = 1.0
