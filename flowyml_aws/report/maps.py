"""Maps in a report: the items of each mapped step, and one row for all jobs of a map."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.amounts import counted
from flowyml_aws.core.maps import declared_name, is_part
from flowyml_aws.planning.job_rows import JobRow, job_rows, rows_by_job
from flowyml_aws.report.data import (
    ApprovalEntry,
    AssetEntry,
    FailureEntry,
    ItemEntry,
    JobEntry,
    MapEntry,
    RunReport,
    Segment,
    SegmentKind,
)
from flowyml_aws.submission.logged import RunLogged
from flowyml_aws.submission.map_progress import MAX_NAMED, MapProgress, cause_of
from flowyml_aws.submission.map_rows import worst_state
from flowyml_aws.submission.origin import RunOrigin
from flowyml_aws.submission.status import RunStatus

__all__ = [
    "approvals_after_lanes",
    "dropped_text",
    "fewer_assets",
    "fewer_failures",
    "lanes",
    "map_tables",
    "read_maps",
]


def read_maps(
    store: ArtifactStore, status: RunStatus, origin: RunOrigin | None
) -> tuple[MapEntry, ...]:
    """Return the mapped steps of a run with their items, parameters and metrics.

    Args:
        store: Store of the run.
        status: Status of the run.
        origin: Origin of the run, which has the parameters; None if it has none.
    """
    if not status.maps:
        return ()
    metrics = RunLogged(store, status).metrics
    parameters = {} if origin is None else origin.items
    return tuple(
        _map_entry(progress, metrics, parameters.get(name, {}))
        for name, progress in status.progress.items()
    )


def lanes(jobs: Sequence[JobEntry]) -> list[JobEntry]:
    """Return the jobs of a run with one entry for all jobs of a map.

    Its periods are those in which at least one of its jobs did the same.
    """
    rows = job_rows(jobs)
    of_job = rows_by_job(rows)
    return [_lane(row, of_job) if row.jobs[1:] else _with_lanes(row, of_job) for row in rows]


def approvals_after_lanes(
    approvals: Iterable[ApprovalEntry], jobs: Sequence[JobEntry]
) -> list[ApprovalEntry]:
    """Return the approvals of a run after the entries of `lanes` instead of their jobs."""
    of_job = rows_by_job(job_rows(jobs))
    return [
        entry.model_copy(update={"edges": _titled_edges([entry.edges], of_job)})
        for entry in approvals
    ]


def fewer_failures(
    failures: Iterable[FailureEntry], jobs: Iterable[JobEntry]
) -> list[FailureEntry]:
    """Return failures with at most the first five items of each mapped step."""
    mapped = {job.name: job.mapped for job in jobs}
    counts: Counter[str] = Counter()
    kept = []
    for failure in failures:
        if mapped.get(failure.job):
            step = declared_name(failure.step or "")
            counts[step] += 1
            if counts[step] > MAX_NAMED:
                continue
        kept.append(failure)
    return kept


def fewer_assets(report: RunReport) -> list[AssetEntry]:
    """Return the values of a run with one entry for all items of a mapped step's asset."""
    map_of = {item.name: entry.name for entry in report.maps for item in entry.items}
    names = {entry.name for entry in report.maps}
    for part in {asset.step for asset in report.assets if is_part(asset.step)}:
        if (declared := declared_name(part)) in names:
            map_of[part] = declared
    found: dict[tuple[str, str], list[AssetEntry]] = {}
    for asset in report.assets:
        step = map_of.get(asset.step)
        name = asset.name if step is None else declared_name(asset.name)
        found.setdefault((step or asset.step, name), []).append(asset)
    return [
        _list_entry(name, step, assets, report.run_id) if assets[0].step in map_of else assets[0]
        for (step, name), assets in found.items()
    ]


def dropped_text(report: RunReport) -> str:
    """Return the number of dropped items of each mapped step; empty if there are none."""
    counts = {entry.name: sum(item.is_dropped for item in entry.items) for entry in report.maps}
    return ", ".join(
        f"{count:,} of {len(entry.items):,} items of {entry.name}"
        for entry in report.maps
        if (count := counts[entry.name])
    )


def map_tables(report: RunReport) -> list[dict[str, Any]]:
    """Return the data of a table of items for each mapped step, failed items first."""
    return [_table(entry) for entry in report.maps]


def _table(entry: MapEntry) -> dict[str, Any]:
    parameters = list(dict.fromkeys(name for item in entry.items for name in item.parameters))
    metrics = list(dict.fromkeys(name for item in entry.items for name in item.metrics))
    ordered = sorted(entry.items, key=lambda item: item.state.value != "failed")
    return {
        "columns": ["item", "state", *parameters, *metrics, "seconds", "job", "reason"],
        "numbers": [len(parameters) + 2, len(parameters) + len(metrics) + 2],
        "rows": [
            [
                item.name,
                f"{item.state.value}, dropped" if item.is_dropped else item.state.value,
                *(item.parameters.get(name, "") for name in parameters),
                *(_cell(item.metrics.get(name)) for name in metrics),
                None if item.duration_s is None else round(item.duration_s, 3),
                item.job or "",
                item.reason or "",
            ]
            for item in ordered
        ],
    }


def _cell(metric: float | None) -> float | str | None:
    """Return a metric for JSON, which has no NaN and no infinite numbers."""
    return metric if metric is None or math.isfinite(metric) else str(metric)


def _list_entry(name: str, step: str, assets: Sequence[AssetEntry], run_id: str) -> AssetEntry:
    stored = [asset for asset in assets if asset.uri is not None]
    command = f"; print them with `flowyml-aws get {run_id} {name}`" if stored else ""
    return AssetEntry(
        name=name,
        step=step,
        run_id=run_id,
        size_bytes=sum(asset.size_bytes or 0 for asset in stored) if stored else None,
        codec=stored[0].codec if stored else None,
        note=f"{len(stored):,} of {counted(len(assets), 'item')} stored{command}",
    )


def _map_entry(
    progress: MapProgress,
    metrics: Mapping[str, Mapping[str, float]],
    parameters: Mapping[str, Sequence[str]],
) -> MapEntry:
    items = []
    for index, item in enumerate(progress.items):
        report = item.report
        has_reason = report.failure is not None or report.reason is not None
        items.append(
            ItemEntry(
                name=report.name,
                job=item.job,
                state=report.state,
                is_dropped=item.is_dropped,
                duration_s=report.duration_s if report.ended_at is not None else None,
                reason=cause_of(report) if has_reason else None,
                parameters={
                    name: column[index]
                    for name, column in parameters.items()
                    if index < len(column)
                },
                metrics=dict(metrics.get(report.name, {})),
            )
        )
    return MapEntry(
        name=progress.step,
        text=progress.text,
        required=progress.required,
        items=tuple(items),
    )


def _with_lanes(row: JobRow[JobEntry], rows: Mapping[str, JobRow[JobEntry]]) -> JobEntry:
    """Return a job that waits for lanes instead of their jobs."""
    edges = _edges(row, rows)
    return row.first.model_copy(update={"after": tuple(edges), "edges": edges})


def _lane(row: JobRow[JobEntry], rows: Mapping[str, JobRow[JobEntry]]) -> JobEntry:
    counts = Counter(job.state_name for job in row.jobs)
    texts = ", ".join(f"{count:,} {state}" for state, count in counts.most_common())
    edges = _edges(row, rows)
    return row.first.model_copy(
        update={
            "name": row.title,
            "steps": (*row.first.mapped, texts),
            "state": worst_state(job.state for job in row.jobs),
            "is_skipped": all(job.is_skipped for job in row.jobs),
            "after": tuple(edges),
            "edges": edges,
            "segments": _merged(row.jobs),
            "reason": None,
            "log": None,
            "curves": None,
        }
    )


def _edges(
    row: JobRow[JobEntry], rows: Mapping[str, JobRow[JobEntry]]
) -> dict[str, tuple[str, ...]]:
    """Return the assets that jobs read from each lane, with one name for all items."""
    edges = _titled_edges((job.edges for job in row.jobs), rows)
    return {title: assets for title, assets in edges.items() if title != row.title}


def _titled_edges(
    edges: Iterable[Mapping[str, Sequence[str]]], rows: Mapping[str, JobRow[JobEntry]]
) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for each in edges:
        for parent, assets in each.items():
            title = rows[parent].title if parent in rows else parent
            found.setdefault(title, {}).update(dict.fromkeys(map(declared_name, assets)))
    return {title: tuple(assets) for title, assets in found.items()}


def _merged(jobs: Iterable[JobEntry]) -> tuple[Segment, ...]:
    """Return the periods of several jobs: those of one kind are joined if they overlap."""
    by_kind: dict[SegmentKind, list[Segment]] = {}
    for job in jobs:
        for segment in job.segments:
            by_kind.setdefault(segment.kind, []).append(segment)
    merged: list[Segment] = []
    for kind in SegmentKind:
        joined: list[Segment] = []
        for segment in sorted(by_kind.get(kind, ()), key=lambda each: each.started_at):
            if joined and segment.started_at <= joined[-1].ended_at:
                ended_at = max(joined[-1].ended_at, segment.ended_at)
                joined[-1] = joined[-1].model_copy(update={"ended_at": ended_at, "step": None})
            else:
                joined.append(segment)
        merged += joined
    return tuple(merged)
