"""The report as one HTML page, which needs no server and makes no request."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flowyml_aws.core.amounts import counted
from flowyml_aws.report.comparison import comparison_sheets
from flowyml_aws.report.data import (
    AssetEntry,
    Curves,
    FailureEntry,
    JobEntry,
    RunReport,
    SegmentKind,
    StepEntry,
)
from flowyml_aws.report.logged import FittedLogged, curve_count, fit_logged, metric_rows
from flowyml_aws.report.logs import END_BYTES
from flowyml_aws.report.maps import (
    approvals_after_lanes,
    dropped_text,
    fewer_assets,
    fewer_failures,
    lanes,
    map_tables,
)
from flowyml_aws.report.outline import MAX_NODES, Node, outline
from flowyml_aws.report.rendering import packed_json, render
from flowyml_aws.report.starts import start_sheet
from flowyml_aws.report.thinning import (
    MAX_POINTS,
    fit_curves,
    fit_images,
    fit_logs,
    shortened_text,
)
from flowyml_aws.report.wording import duration_text, time_text, usd_text
from flowyml_aws.submission.backend import JobState

__all__ = ["MAX_ROWS", "to_html"]

MAX_ROWS = 2000
"""Jobs, and values, with a row of their own. Others are only counted."""
_SCRIPTS = ("base.js", "keyboard.js", "graph.js", "report.js", "maps.js")
_ENTRIES_PER_PART = 25
_MAX_EXPANSIONS = 20
_MAX_STARTS = 100
_MAX_FAILURES, _MAX_NOTES, _MAX_REASON, _MAX_METRICS = 50, 50, 1000, 200


def to_html(report: RunReport, watched: bool = False) -> str:
    """Return the report as an HTML page.

    Everything from the run is escaped, or is data that the page shows as text. The page says
    what it leaves out.

    Args:
        report: The report.
        watched: Whether the page asks its server for changes.
    """
    jobs = sorted(report.jobs, key=lambda job: job.state is not JobState.FAILED)[:MAX_ROWS]
    curves, points = fit_curves(jobs, curve_count(report.steps))
    logged = fit_logged(report.steps, points)
    jobs, log_bytes = fit_logs(jobs, logged.text_bytes + logged.image_bytes // 2)
    order = {job.name: position for position, job in enumerate(report.jobs)}
    jobs = [
        job.model_copy(update={"reason": shortened_text(job.reason, _MAX_REASON)})
        if job.reason
        else job
        for job in jobs
    ]
    shown = sorted(jobs, key=lambda job: order[job.name])
    rows = lanes(report.jobs)
    nodes = outline(rows, approvals_after_lanes(report.approvals, report.jobs))
    images, omitted_images = fit_images(report.assets, logged.image_bytes)
    assets = _assets_by_step(images)
    details = [_job_details(report, job, curves, assets) for job in shown]
    items = {item.name for each in report.maps for item in each.items}  # have a table of their own
    metrics = list(metric_rows([step for step in report.steps if step.name not in items]))
    failures = fewer_failures(report.failures, report.jobs)
    values = fewer_assets(report)
    return render(
        "report.html",
        scripts=(*_SCRIPTS, *(("watch.js",) if watched else ())),
        connects=watched,
        report=report,
        jobs=shown,
        entries_per_part=_ENTRIES_PER_PART,
        assets=values[:MAX_ROWS],
        dropped=dropped_text(report),
        failures=[_shortened_failure(failure) for failure in failures[:_MAX_FAILURES]],
        steps=_steps_by_job(report, shown),
        cached=[step for step in report.steps if step.job is None][:MAX_ROWS],
        groups=_groups(report) if len(report.jobs) > len(shown) else [],
        facts=list(_facts(report)),
        notes=report.notes[:_MAX_NOTES],
        starts=start_sheet(report.jobs, _MAX_STARTS),
        advice=report.advice[:MAX_ROWS],
        shortened=[
            *_shortened(report, log_bytes, points, nodes, shown, omitted_images),
            *_shortened_logged(logged, len(metrics)),
        ],
        overview=packed_json(_overview(report, shown, rows[:MAX_ROWS], nodes)),
        map_tables=[packed_json(table) for table in map_tables(report)],
        parts=_packed_parts(details),
        comparison=comparison_sheets(report.comparison) if report.comparison else (),
        metrics=metrics[:_MAX_METRICS],
        logged=logged.parts[:MAX_ROWS],
        logged_parts=_packed_parts([part.to_dict() for part in logged.parts[:MAX_ROWS]]),
    )


def _packed_parts(entries: Sequence[dict[str, Any]]) -> list[str]:
    """Return entries as compressed JSON, several in each string: one is unpacked at a time."""
    size = _ENTRIES_PER_PART
    return [packed_json(entries[i : i + size]) for i in range(0, len(entries), size)]


def _steps_by_job(report: RunReport, jobs: Sequence[JobEntry]) -> dict[str, list[StepEntry]]:
    steps: dict[str, list[StepEntry]] = {job.name: [] for job in jobs}
    for step in report.steps:
        if step.job in steps:
            steps[step.job].append(step)
    return steps


def _assets_by_step(assets: Sequence[AssetEntry]) -> dict[str, list[AssetEntry]]:
    by_step: dict[str, list[AssetEntry]] = {}
    for asset in assets:
        by_step.setdefault(asset.step, []).append(asset)
    return by_step


def _shortened_failure(failure: FailureEntry) -> FailureEntry:
    texts = {name: getattr(failure, name) for name in ("reason", "message", "traceback")}
    return failure.model_copy(
        update={name: shortened_text(text) for name, text in texts.items() if text}
    )


def _facts(report: RunReport) -> Iterator[tuple[str, str]]:
    """Yield the label and the value of each figure of the summary."""
    expected = f", predicted {duration_text(report.expected_s)}" if report.expected_s else ""
    yield "Duration", f"{duration_text(report.duration_s)}{expected}"
    yield "Started", time_text(report.created_at)
    if any(job.instance_type for job in report.jobs):
        predicted = report.expected_cost_usd
        note = "" if predicted is None else f", predicted {usd_text(predicted)}"
        yield "Cost of the jobs", f"{_cost_text(report)}{note}"
    waiting_s = report.seconds(SegmentKind.WAITING)
    yield "Waiting", f"{duration_text(waiting_s)} in all jobs together"
    if report.lost.count:
        lost_s = report.seconds(SegmentKind.LOST)
        seconds = f", {duration_text(lost_s)}" if lost_s else ""
        yield "Lost", f"{report.lost}{seconds}"
    counts = Counter(step.state.value for step in report.steps)
    states = ", ".join(f"{count:,} {state}" for state, count in counts.most_common())
    yield "Steps", states or "none"
    retries = sum(step.retries for step in report.steps)
    repeats = sum(max(0, job.attempt - 1) for job in report.jobs)
    if retries or repeats:
        yield "Retried", f"{counted(retries, 'step retry')}, {counted(repeats, 'job retry')}"
    region = f", {report.region}" if report.region else ""
    yield "Where", f"{report.backend}{region}; {report.store}"
    if report.resumes:
        yield "Continues", report.resumes
    for entry in report.expansions[:_MAX_EXPANSIONS]:
        state = "not started" if entry.state is None else f"run {entry.run_id}, {entry.state.value}"
        yield f"Pipeline of {entry.step}", state
    origin = report.origin
    if origin is not None:
        yield "Started by", f"{origin.user or 'unknown'} on {origin.client}"
        if origin.git is not None:
            git = origin.git
            branch = f" ({git.branch})" if git.branch else ""
            changed = counted(git.changed_files, "changed file") if git.changed_files else "clean"
            yield "Code", f"{git.commit[:12]}{branch}, {changed}"
        yield "Python", origin.python


def _cost_text(report: RunReport) -> str:
    """Return the cost of the jobs, or the sum of the known costs."""
    known = [job.cost_usd for job in report.jobs if job.cost_usd is not None]
    if report.cost_usd is not None or not known:
        return usd_text(report.cost_usd)
    return f"at least {usd_text(sum(known))}"


def _groups(report: RunReport) -> list[tuple[str, str, int, float]]:
    """Return the number and the time of all jobs by name without digits, and state."""
    counts: Counter[tuple[str, str]] = Counter()
    seconds: defaultdict[tuple[str, str], float] = defaultdict(float)
    for job in report.jobs:
        key = re.sub(r"\d+", "#", job.name), job.state_name
        counts[key] += 1
        seconds[key] += job.seconds(SegmentKind.COMPUTE)
    return [(*key, count, seconds[key]) for key, count in counts.most_common(50)]


def _shortened(
    report: RunReport,
    log_bytes: int,
    points: int,
    nodes: Sequence[Node],
    shown: Sequence[JobEntry],
    omitted_images: int,
) -> list[str]:
    sentences = list(report.shortened)
    if omitted_images:
        sentences.append(f"{omitted_images:,} images.")
    if len(report.notes) > _MAX_NOTES:
        sentences.append(f"{len(report.notes) - _MAX_NOTES:,} of {len(report.notes):,} notes.")
    if len(report.jobs) > len(shown):
        sentences.append(
            f"Rows for {len(shown):,} of {len(report.jobs):,} jobs, failed ones first. The table "
            "of all jobs counts the others."
        )
    if (values := len(fewer_assets(report))) > MAX_ROWS:
        sentences.append(f"Rows for {MAX_ROWS:,} of {values:,} values.")
    failures = min(_MAX_FAILURES, len(fewer_failures(report.failures, report.jobs)))
    if len(report.failures) > failures:
        count = len(report.failures)
        sentences.append(f"{failures} of {count:,} failures; the jobs have the others.")
    if log_bytes < END_BYTES:
        sentences.append(f"Logs: the first and the last {log_bytes / 1024:,.0f} KiB of each.")
    if any(job.curves is not None and _points(job) > points for job in shown):
        sentences.append(
            f"Curves: {min(points, MAX_POINTS)} points, with minimum and maximum of each period."
        )
    if sum(node.count for node in nodes) > len(nodes):
        sentences.append("The graph shows many jobs whose names differ only in digits as one box.")
    if len(nodes) > MAX_NODES:
        sentences.append(f"The graph shows {MAX_NODES} of {len(nodes):,} boxes.")
    return sentences


def _shortened_logged(logged: FittedLogged, metrics: int) -> Iterator[str]:
    if metrics > _MAX_METRICS:
        yield f"{metrics - _MAX_METRICS:,} of {metrics:,} metrics in the table of metrics."
    if len(logged.parts) > MAX_ROWS:
        yield f"Logged values of {len(logged.parts) - MAX_ROWS:,} steps."
    if logged.omitted:
        yield f"{counted(logged.omitted, 'logged value')}; the steps name them."


def _points(job: JobEntry) -> int:
    series = () if job.curves is None else job.curves.series
    return max((len(each.low) for each in series), default=0)


def _overview(
    report: RunReport, shown: Sequence[JobEntry], jobs: Sequence[JobEntry], nodes: Sequence[Node]
) -> dict[str, Any]:
    """Return the data of the timeline and the graph.

    Args:
        report: The report.
        shown: Jobs with a row of their own.
        jobs: Rows of the timeline: jobs, and one for all jobs of a map.
        nodes: Boxes of the graph.
    """
    kinds = list(SegmentKind)
    positions = {job.name: position for position, job in enumerate(shown)}
    maps = {entry.name: position for position, entry in enumerate(report.maps)}
    return {
        "rows": [positions.get(job.name, -1) for job in jobs],
        "maps": [maps.get(job.mapped[0], -1) if job.mapped else -1 for job in jobs],
        "kinds": [kind.value for kind in kinds],
        "jobs": [job.name for job in jobs],
        "states": [job.state_name for job in jobs],
        "segments": [
            [
                row,
                kinds.index(segment.kind),
                round(segment.started_at - report.created_at, 3),
                round(segment.ended_at - report.created_at, 3),
                segment.step or "",
            ]
            for row, job in enumerate(jobs)
            for segment in job.segments
        ],
        "nodes": [node.to_dict() for node in nodes[:MAX_NODES]],
    }


def _job_details(
    report: RunReport,
    job: JobEntry,
    curves: Mapping[str, Curves],
    assets: Mapping[str, Sequence[AssetEntry]],
) -> dict[str, Any]:
    return {
        "log": None if job.log is None else job.log.model_dump(mode="json"),
        "command": f"flowyml-aws logs {report.run_id} {job.name}",
        "curves": [
            {"name": s.name, "low": _short(s.low), "high": _short(s.high)}
            for s in curves[job.name].series
        ]
        if job.name in curves
        else [],
        "period": curves[job.name].period_s if job.name in curves else 0,
        "missing": list(job.curves.missing) if job.curves is not None else [],
        "requested": {"cpu_cores": job.vcpus, "memory_mib": job.memory_mib},
        "previews": [_preview(asset) for step in job.steps for asset in assets.get(step, ())],
    }


def _short(numbers: Sequence[float]) -> list[float]:
    return [float(f"{number:.3g}") for number in numbers]


def _preview(asset: AssetEntry) -> dict[str, Any]:
    preview = None if asset.preview is None else asset.preview.model_dump(mode="json")
    return {"name": asset.name, "step": asset.step, "preview": preview}
