"""Durations, sizes and peaks from earlier runs of a pipeline: the basis of estimates and advice."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from flowyml_aws.artifacts.documents import Document
from flowyml_aws.planning.needs import Needs
from flowyml_aws.runtime.peaks import StepPeaks

__all__ = ["Growth", "RunTimes", "StepTime"]


class StepTime(Document):
    """The duration of a step in one run, retries included.

    Attributes:
        duration_s: Duration in seconds.
        instance_type: Instance type that the job ran on, or the planned one if the job has not
            reported it; None on this machine.
        peaks: Highest use of the machine; None if it was not measured.
    """

    duration_s: float
    instance_type: str | None
    peaks: StepPeaks | None = None


class Growth(Document):
    """The resources that a step's job needed in a run, after it had used up the declared ones.

    Attributes:
        declared: Needs as the steps declared them.
        needed: Needs of the machine to which the job moved.
    """

    declared: Needs
    needed: Needs


class RunTimes(Document):
    """Durations, peaks, sizes and needs of one run.

    Attributes:
        ended_at: End of the run, in seconds since the epoch.
        steps: Duration of each step that ran and succeeded.
        asset_bytes: Size of each stored value.
        grown: Growth of the job of each step whose job needed more than its steps declare.
    """

    version: Literal[1] = 1
    run_id: str
    pipeline: str
    ended_at: float
    steps: dict[str, StepTime]
    asset_bytes: dict[str, int]
    grown: dict[str, Growth] = Field(default_factory=dict)
