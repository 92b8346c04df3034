"""Step times, peaks and asset sizes of runs, recorded for later plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from statistics import fmean

from flowyml_aws.artifacts.documents import read_document
from flowyml_aws.artifacts.layout import history_key, history_prefix
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.concurrency import STORE_REQUESTS, map_concurrently
from flowyml_aws.core.errors import ArtifactNotFoundError, DamagedArtifactError, FlowymlError
from flowyml_aws.core.maps import declared_name, is_part
from flowyml_aws.planning.history import Growth, RunTimes, StepTime
from flowyml_aws.runtime.peaks import StepPeaks, highest
from flowyml_aws.runtime.result import StepState
from flowyml_aws.submission.record import RunState
from flowyml_aws.submission.reports import JobReports
from flowyml_aws.submission.status import RunStatus

__all__ = ["MAX_TIMES", "read_times", "record_times"]

MAX_TIMES = 10
"""Number of earlier runs that an estimate is based on."""
_MAX_OPENED = 4  # results of one run; its other jobs without peaks count as not measured


def record_times(store: ArtifactStore, status: RunStatus, reports: JobReports) -> None:
    """Record the times of a run's completed steps and the needs of its jobs, also if it failed.

    An error of the store is ignored.

    Args:
        store: Store of the run.
        status: Status of the run, which has ended.
        reports: Reports of its jobs.
    """
    with suppress(FlowymlError, OSError):  # plans can do without them
        _record(store, status, _peaks(status, reports))


def _peaks(status: RunStatus, reports: JobReports) -> dict[str, StepPeaks]:
    """Return the measured peaks of the steps, from the summaries of the jobs.

    The results of some jobs are opened if their peaks are not in the summary.
    """
    summaries = {view.job.name: view.result for view in status.jobs if view.result is not None}
    without = [name for name, summary in summaries.items() if not summary.peaks]
    opened = reports.results(without[:_MAX_OPENED])
    peaks: dict[str, StepPeaks] = {}
    for summary in summaries.values():
        peaks.update(summary.peaks)
    for result in opened.values():
        peaks.update(result.peaks)
    return peaks


def _record(store: ArtifactStore, status: RunStatus, peaks: Mapping[str, StepPeaks]) -> None:
    steps: dict[str, StepTime] = {}
    sizes: dict[str, int] = {}
    grown: dict[str, Growth] = {}
    items: dict[str, list[StepTime]] = {}
    for view in status.jobs:
        if view.job.declared is not None:
            growth = Growth(declared=view.job.declared, needed=view.job.needs)
            grown.update(dict.fromkeys(map(declared_name, view.job.steps), growth))
        for report in view.steps:
            if report.state is StepState.SUCCEEDED and not is_part(report.name):
                time = StepTime(
                    duration_s=report.duration_s,
                    instance_type=view.instance_type,
                    peaks=peaks.get(report.name),
                    nodes=view.job.needs.nodes,
                )
                if view.job.mapped:
                    items.setdefault(declared_name(report.name), []).append(time)
                else:
                    steps[report.name] = time
        if view.result is not None and not view.job.mapped:
            sizes.update(view.result.asset_bytes)
    steps.update((name, _of_items(times)) for name, times in items.items())
    if not steps and not grown:
        return
    times = RunTimes(
        run_id=status.run_id,
        pipeline=status.pipeline,
        ended_at=status.ended_at or status.created_at,
        steps=steps,
        asset_bytes=sizes,
        grown=grown,
        lengths=_lengths(status),
    )
    store.put(history_key(status.pipeline, status.run_id), times.to_json(indent=None))


def _lengths(status: RunStatus) -> dict[str, int]:
    """Return the number of items of each map over a list that a succeeded run has produced.

    It is unknown if an earlier run has computed some of the parts.
    """
    if status.state is not RunState.SUCCEEDED:
        return {}
    return {
        name: progress.total
        for name, progress in status.progress.items()
        if progress.planned.parts is not None
        and not any(is_part(item.report.name) for item in progress.items)
    }


def _of_items(times: Sequence[StepTime]) -> StepTime:
    """Return the mean duration of the items of a mapped step, and their highest peaks."""
    return StepTime(
        duration_s=fmean(time.duration_s for time in times),
        instance_type=times[-1].instance_type,
        peaks=highest(time.peaks for time in times if time.peaks is not None),
        nodes=times[-1].nodes,
    )


def read_times(store: ArtifactStore, pipeline: str, limit: int = MAX_TIMES) -> Sequence[RunTimes]:
    """Return the times of the latest runs of a pipeline, newest first.

    Unreadable documents (damaged, or of another version) are ignored: a plan does not need them.
    """
    names = store.children(history_prefix(pipeline))
    newest = sorted(names, key=lambda name: name.rsplit("-", 3)[1:], reverse=True)[:limit]
    keys = [history_prefix(pipeline) + name for name in newest]
    results = map_concurrently(lambda key: _read(store, key), keys, limit=STORE_REQUESTS)
    return tuple(times for times in results if times is not None)


def _read(store: ArtifactStore, key: str) -> RunTimes | None:
    try:
        return read_document(RunTimes, store.get(key), f"{store.uri}/{key}")
    except (ArtifactNotFoundError, DamagedArtifactError):
        return None
