"""Time that a run has saved by outputs of earlier runs."""

from __future__ import annotations

from dataclasses import dataclass

from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.maps import declared_name
from flowyml_aws.runtime.result import StepState
from flowyml_aws.submission.history import read_times
from flowyml_aws.submission.status import RunStatus

__all__ = ["Savings", "find_savings"]


@dataclass(frozen=True, slots=True)
class Savings:
    """Steps that a run did not execute.

    Attributes:
        steps: Number of steps whose outputs are reused.
        known: Number of those whose duration in an earlier run is known.
        seconds: Sum of these durations.
    """

    steps: int
    known: int
    seconds: float


def find_savings(store: ArtifactStore, status: RunStatus) -> Savings | None:
    """Return what a run has saved; None if it reuses nothing.

    The duration of a step is that of the latest run that is recorded.
    """
    cached = [name for name, report in status.steps.items() if report.state is StepState.CACHED]
    if not cached:
        return None
    durations: dict[str, float] = {}
    for times in read_times(store, status.pipeline):  # newest first
        for name, time in times.steps.items():
            durations.setdefault(name, time.duration_s)
    names = map(declared_name, cached)  # items are recorded with the name of their step
    known = [durations[name] for name in names if name in durations]
    return Savings(len(cached), len(known), sum(known))
