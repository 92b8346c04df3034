"""The jobs of a map in tables of a run: one row for all of them, and one for each mapped step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from flowyml_aws.core.amounts import counted
from flowyml_aws.planning.job_rows import JobRow, job_rows
from flowyml_aws.planning.plan import PlannedJob
from flowyml_aws.runtime.result import StepState
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.map_progress import MapProgress
from flowyml_aws.submission.status import JobView, RunStatus

__all__ = ["MapRow", "map_state", "reused_rows", "status_rows", "worst_state"]

_ORDER = [
    JobState.FAILED,
    JobState.BLOCKED,
    JobState.CANCELLED,
    JobState.RUNNING,
    JobState.STARTING,
    JobState.LOST,
    JobState.QUEUED,
    JobState.WAITING,
    JobState.SUCCEEDED,
]


@dataclass(frozen=True, slots=True)
class MapRow:
    """All jobs of a run that run items of the same mapped steps.

    Attributes:
        title: Common part of the names of the jobs, with their number.
        steps: Progress of the mapped steps.
    """

    title: str
    views: tuple[JobView, ...]
    steps: tuple[MapProgress, ...]

    @property
    def state(self) -> JobState:
        """Most urgent state of the jobs."""
        return worst_state(view.state for view in self.views)

    @property
    def state_text(self) -> str:
        """Number of jobs in each state, or the state of all."""
        ordered = sorted(self.views, key=lambda view: _ORDER.index(view.state))
        counts = Counter(view.state_name for view in ordered)  # in this order
        if len(counts) == 1:
            return next(iter(counts))
        return ", ".join(f"{count:,} {name}" for name, count in counts.items())

    @property
    def attempts(self) -> str:
        """Highest number of attempts of a job; empty before the first one."""
        highest = max(view.attempt for view in self.views)
        return str(highest) if highest else ""

    @property
    def place(self) -> str:
        """Instance types and targets of the jobs."""
        places = dict.fromkeys(view.location for view in self.views)
        return next(iter(places)) if len(places) == 1 else counted(len(places), "machine type")

    def elapsed(self, now: float) -> str:
        """Return the time from the first start of an item, until the end of all jobs or now."""
        items = [item.report for each in self.steps for item in each.items]
        starts = [report.started_at for report in items if report.started_at is not None]
        if not starts:
            return ""
        ends = [view.result.ended_at for view in self.views if view.result is not None]
        has_ended = all(view.state.ended for view in self.views)
        return f"{(max(ends, default=now) if has_ended else now) - min(starts):.1f} s"

    @property
    def waits(self) -> str | None:
        """Reason why a job waits, or how it runs; None if there is none."""
        open_views = [view for view in self.views if not view.state.ended and view.reason]
        if not open_views:
            return None
        first = open_views[0]
        more = f" (and {counted(len(open_views) - 1, 'other job')})" if open_views[1:] else ""
        return f"{first.job.name}: {first.reason}{more}"


def worst_state(states: Iterable[JobState]) -> JobState:
    """Return the most urgent state of some jobs: failed before running before succeeded."""
    return min(states, key=_ORDER.index)


def status_rows(status: RunStatus) -> list[JobView | MapRow]:
    """Return the rows of a table of jobs in plan order: a job, or all jobs of a map."""
    views = {view.job.name: view for view in status.jobs}
    progress = status.progress
    return [
        _map_row(row, views, progress) if row.is_map else views[row.first.name]
        for row in job_rows(view.job for view in status.jobs)
    ]


def reused_rows(status: RunStatus) -> list[tuple[str, str, StepState]]:
    """Return the reused steps with their states as text; all items of a map as one.

    Maps with a job are left out, because its row counts the reused items, too.
    """
    reports, map_of = status.steps, status.map_of
    rows: dict[str, tuple[str, str, StepState]] = {}
    for name in status.reused:
        of_map = map_of.get(name)
        if of_map is None:
            rows[name] = name, reports[name].state.value, reports[name].state
        elif not of_map.jobs:
            rows[of_map.step] = of_map.step, of_map.text, map_state(of_map)
    return list(rows.values())


def map_state(progress: MapProgress) -> StepState:
    """Return the most urgent state of the items of a map."""
    for state in (StepState.FAILED, StepState.RUNNING, StepState.CANCELLED, StepState.WAITING):
        if progress.states.get(state):
            return state
    return StepState.SUCCEEDED if progress.states.get(StepState.SUCCEEDED) else StepState.CACHED


def _map_row(
    row: JobRow[PlannedJob], views: Mapping[str, JobView], progress: Mapping[str, MapProgress]
) -> MapRow:
    return MapRow(
        row.title,
        tuple(views[job.name] for job in row.jobs),
        tuple(progress[step] for step in row.first.mapped if step in progress),
    )
