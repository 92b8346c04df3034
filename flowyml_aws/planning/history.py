"""Durations, sizes and peaks from earlier runs of a pipeline: the basis of estimates and advice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from flowyml_aws.artifacts.documents import Document
from flowyml_aws.core.maps import EarlierLength
from flowyml_aws.planning.needs import Needs
from flowyml_aws.runtime.peaks import StepPeaks

__all__ = ["Growth", "RunTimes", "StepTime", "earlier_lengths"]


class StepTime(Document):
    """The duration of a step in one run, retries included.

    Attributes:
        duration_s: Duration in seconds.
        instance_type: Instance type that the job ran on, or the planned one if the job has not
            reported it; None on this machine.
        peaks: Highest use of the machine; None if it was not measured.
        nodes: Number of nodes of the job, which the step may use only in part.
    """

    duration_s: float
    instance_type: str | None
    peaks: StepPeaks | None = None
    nodes: int = 1

    @model_serializer(mode="wrap")
    def _without_single_node(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Return the members, so that earlier versions can read runs on single machines."""
        members: dict[str, Any] = serialize(self)
        if self.nodes == 1:
            del members["nodes"]
        return members


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
        lengths: Number of items of each mapped step whose list the run produced, if it succeeded.
    """

    version: Literal[1] = 1
    run_id: str
    pipeline: str
    ended_at: float
    steps: dict[str, StepTime]
    asset_bytes: dict[str, int]
    grown: dict[str, Growth] = Field(default_factory=dict)
    lengths: dict[str, int] = Field(default_factory=dict)

    @model_serializer(mode="wrap")
    def _without_empty_lengths(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Return the members, so that earlier versions can read runs without such lists."""
        members: dict[str, Any] = serialize(self)
        if not self.lengths:
            del members["lengths"]
        return members


def earlier_lengths(history: Sequence[RunTimes]) -> dict[str, EarlierLength]:
    """Return the number of items of each mapped step in the last run that shows it.

    Args:
        history: Earlier runs, newest first.
    """
    lengths: dict[str, EarlierLength] = {}
    for run in history:
        for step, items in run.lengths.items():
            lengths.setdefault(step, EarlierLength(items, run.run_id))
    return lengths
