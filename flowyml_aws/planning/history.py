"""What earlier runs of a pipeline took: the ground of expected costs and sizes."""

from __future__ import annotations

from typing import Literal

from flowyml_aws.artifacts.documents import Document

__all__ = ["RunTimes", "StepTime"]


class StepTime(Document):
    """How long a step took once, its retries included.

    Attributes:
        duration_s: Seconds.
        instance_type: The job's first choice; None on this machine.
    """

    duration_s: float
    instance_type: str | None


class RunTimes(Document):
    """What one run took.

    Attributes:
        ended_at: Seconds since the epoch.
        steps: Of each step that ran and succeeded.
        asset_bytes: Size of each stored value.
    """

    version: Literal[1] = 1
    run_id: str
    pipeline: str
    ended_at: float
    steps: dict[str, StepTime]
    asset_bytes: dict[str, int]
