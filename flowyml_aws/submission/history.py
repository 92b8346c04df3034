"""Step times and asset sizes of runs, recorded for later plans."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from statistics import fmean

from flowyml_aws.artifacts.documents import read_document
from flowyml_aws.artifacts.layout import history_key, history_prefix
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.concurrency import STORE_REQUESTS, map_concurrently
from flowyml_aws.core.errors import ArtifactNotFoundError, DamagedArtifactError, FlowymlError
from flowyml_aws.core.maps import declared_name
from flowyml_aws.planning.history import Growth, RunTimes, StepTime
from flowyml_aws.runtime.result import StepState
from flowyml_aws.submission.status import RunStatus

__all__ = ["MAX_TIMES", "read_times", "record_times"]

MAX_TIMES = 10
"""Number of earlier runs that an estimate is based on."""


def record_times(store: ArtifactStore, status: RunStatus) -> None:
    """Record the times of a run's completed steps and the needs of its jobs, also if it failed.

    An error of the store is ignored.
    """
    steps: dict[str, StepTime] = {}
    sizes: dict[str, int] = {}
    grown: dict[str, Growth] = {}
    items: dict[str, list[StepTime]] = {}
    for view in status.jobs:
        if view.job.declared is not None:
            growth = Growth(declared=view.job.declared, needed=view.job.needs)
            grown.update(dict.fromkeys(map(declared_name, view.job.steps), growth))
        for report in view.steps:
            if report.state is StepState.SUCCEEDED:
                time = StepTime(duration_s=report.duration_s, instance_type=view.instance_type)
                if view.job.mapped:
                    items.setdefault(declared_name(report.name), []).append(time)
                else:
                    steps[report.name] = time
        if view.result is not None and not view.job.mapped:
            sizes.update(view.result.asset_bytes)
    for name, times_of_items in items.items():
        mean_s = fmean(time.duration_s for time in times_of_items)
        steps[name] = StepTime(duration_s=mean_s, instance_type=times_of_items[-1].instance_type)
    if not steps and not grown:
        return
    times = RunTimes(
        run_id=status.run_id,
        pipeline=status.pipeline,
        ended_at=status.ended_at or status.created_at,
        steps=steps,
        asset_bytes=sizes,
        grown=grown,
    )
    with suppress(FlowymlError, OSError):  # plans can do without them
        store.put(history_key(status.pipeline, status.run_id), times.to_json())


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
