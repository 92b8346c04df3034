"""Plans and statuses of runs with a mapped step `train`, which produces `model`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowyml_aws.planning.plan import PlannedJob, PlannedMap, ReusedStep
from flowyml_aws.runtime.result import StepFailure, StepReport, StepState
from flowyml_aws.runtime.summary import JobSummary
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.status import JobView, RunStatus
from tests.support.plans import a_job

__all__ = ["a_map", "a_map_job", "a_report", "a_view", "run_of_items"]

FAILURE = StepFailure(kind="ValueError", message="no rows", traceback="Traceback …\n")
_ENDED = (StepState.SUCCEEDED, StepState.FAILED, StepState.SKIPPED, StepState.NOT_RUN)


def a_map(items: int, **changes: Any) -> PlannedMap:
    members = {
        "items": items,
        "outputs": ("model",),
        "items_per_job": 1,
        "reason": "as declared",
        "on_item_failure": "finish",
        "min_success": 0.0,
    }
    return PlannedMap(**{**members, **changes})


def a_map_job(first: int, last: int, **changes: Any) -> PlannedJob:
    """Return a job that trains some items."""
    numbers = range(first, last + 1)
    steps = tuple(f"train[{number}]" for number in numbers)
    return a_job(
        f"train-{first}" if first == last else f"train-{first}-{last}",
        steps=steps,
        mapped=("train",),
        produces={f"train[{number}]": (f"model[{number}]",) for number in numbers},
        stored=tuple(f"model[{number}]" for number in numbers),
        reads={f"shards[{number}]": None for number in numbers},
        **changes,
    )


def a_report(step: str, state: StepState) -> StepReport:
    started = None if state in (StepState.WAITING, StepState.NOT_RUN) else 1.0
    ended = 2.0 if state in _ENDED and started else None
    failure = FAILURE if state is StepState.FAILED else None
    reason = "step 'load[0]' failed" if state is StepState.NOT_RUN else None
    return StepReport(
        name=step, state=state, started_at=started, ended_at=ended, failure=failure, reason=reason
    )


def a_view(job: PlannedJob, state: JobState, states: Sequence[StepState]) -> JobView:
    """Return the view of a job; with a result if it has succeeded or failed."""
    reports = tuple(a_report(*pair) for pair in zip(job.steps, states, strict=True))
    if state not in (JobState.SUCCEEDED, JobState.FAILED):
        return JobView(job, state, int(state is not JobState.WAITING), None, reports)
    stored = {
        asset: 4
        for report in reports
        if report.state is StepState.SUCCEEDED
        for asset in job.produces[report.name]
    }
    summary = JobSummary(
        attempt=1,
        state="succeeded" if state is JobState.SUCCEEDED else "failed",
        started_at=0.0,
        ended_at=3.0,
        steps=reports,
        asset_bytes=stored,
    )
    return JobView.of_result(job, summary, None)


def run_of_items(
    states: Sequence[StepState],
    *,
    jobs: JobState = JobState.SUCCEEDED,
    per_job: int = 1,
    reused: int = 0,
    others: Sequence[JobView] = (),
    **changes: Any,
) -> RunStatus:
    """Return the status of a run whose items have some states.

    Args:
        states: State of each item that runs.
        jobs: State of all jobs.
        per_job: Items of each job.
        reused: Number of items before them whose outputs are reused.
        others: Jobs after those of the map.
        changes: Members of the planned map.
    """
    views = []
    for start in range(0, len(states), per_job):
        part = states[start : start + per_job]
        job = a_map_job(reused + start, reused + start + len(part) - 1)
        views.append(a_view(job, jobs, part))
    return RunStatus(
        "r-1",
        "digits",
        "local",
        0.0,
        (*views, *others),
        reused={
            f"train[{number}]": ReusedStep(produces=(f"model[{number}]",), run_id="r-0")
            for number in range(reused)
        },
        maps={"train": a_map(reused + len(states), **changes)},
    )
