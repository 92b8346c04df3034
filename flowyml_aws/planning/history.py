"""Durations and sizes from earlier runs of a pipeline, the basis of estimates."""

from __future__ import annotations

from typing import Literal

from flowyml_aws.artifacts.documents import Document

__all__ = ["RunTimes", "StepTime"]


class StepTime(Document):
    """The duration of a step in one run, retries included.

    Attributes:
        duration_s: Duration in seconds.
        instance_type: Instance type that the job ran on, or the planned one if the job has not
            reported it; None on this machine.
    """

    duration_s: float
    instance_type: str | None


class RunTimes(Document):
    """Durations and sizes of one run.

    Attributes:
        ended_at: End of the run, in seconds since the epoch.
        steps: Duration of each step that ran and succeeded.
        asset_bytes: Size of each stored value.
    """

    version: Literal[1] = 1
    run_id: str
    pipeline: str
    ended_at: float
    steps: dict[str, StepTime]
    asset_bytes: dict[str, int]
