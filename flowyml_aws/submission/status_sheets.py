"""The status of a run as tables for notebooks."""

from __future__ import annotations

from flowyml_aws.core.amounts import usd
from flowyml_aws.core.sheets import Sheet
from flowyml_aws.planning.wording import time_text
from flowyml_aws.runtime.result import StepReport, StepState
from flowyml_aws.submission.approvals import approval_notes
from flowyml_aws.submission.cost_limit import limit_notes
from flowyml_aws.submission.losses import lost_text
from flowyml_aws.submission.map_failures import described_failures
from flowyml_aws.submission.map_rows import MapRow, reused_rows, status_rows
from flowyml_aws.submission.record import RunState
from flowyml_aws.submission.status import (
    JobView,
    RunStatus,
    client_warning,
    gpu_notes,
    item_notes,
    machine_notes,
    sub_run_notes,
    value_notes,
)
from flowyml_aws.submission.whole_status import with_sub_runs

__all__ = ["elapsed_of_job", "elapsed_of_step", "metrics_sheet", "status_sheets"]


def status_sheets(status: RunStatus, now: float) -> list[Sheet]:
    """Return tables of jobs and steps, with notes and the failures.

    Args:
        status: Status of the run.
        now: Seconds since the epoch, used if the run has not ended.
    """
    sub_runs, state_text = sub_run_notes(status), status.state_text
    status = with_sub_runs(status)
    rows: list[tuple[str, ...]] = []
    lines: list[str] = []
    for row in status_rows(status):
        if isinstance(row, MapRow):
            rows.append((row.title, row.state_text, row.attempts, row.place, row.elapsed(now)))
            rows += ((f"└ {each.step}", each.text, "", "", "") for each in row.steps)
            lines += [row.waits] if row.waits else []
            continue
        attempt = str(row.attempt) if row.attempt else ""
        elapsed = elapsed_of_job(row, now)
        rows.append((row.job.name, row.state_name, attempt, row.location, elapsed))
        if not row.state.ended and row.reason:
            lines.append(f"{row.job.name}: {row.reason}")
        for report in status.reports_of(row):
            retries = f"retry {report.retries}" if report.retries else ""
            elapsed = elapsed_of_step(report, now)
            rows.append((f"└ {report.name}", report.state.value, retries, "", elapsed))
    rows += [(f"└ {name}", text, "", "", "") for name, text, _ in reused_rows(status)]
    lines += [
        *([f"AWS {status.outage}"] if status.outage is not None else []),
        *approval_notes(status.approvals, status.run_id),
        *sub_runs,
        *(str(move) for move in status.moves),
        *filter(None, (lost_text(status.lost), client_warning(status))),
        *limit_notes(status),
        *gpu_notes(status, now),
        *item_notes(status),
        *machine_notes(status),
        *value_notes(status),
    ]
    found = described_failures(status)
    lines += [failure.headline for failure in found]
    tracebacks = tuple(traceback for failure in found for traceback in failure.tracebacks)
    title = f"{status.run_id} on {status.backend}: {_outcome(status, state_text, now)}"
    columns = ("job / step", "state", "attempt", "on", "elapsed")
    return [Sheet(title, columns, rows, frozenset({4}), tuple(lines), tracebacks)]


def metrics_sheet(metrics: dict[str, dict[str, float]]) -> Sheet:
    """Return a table of the last values of metrics, by step and name."""
    rows = [
        (step, name, f"{value:.6g}")
        for step, values in metrics.items()
        for name, value in values.items()
    ]
    return Sheet("metrics" if rows else "", ("step", "metric", "last value"), rows, frozenset({2}))


def elapsed_of_job(view: JobView, now: float) -> str:
    """Return the time that a job took, or has taken so far; empty before its first step."""
    starts = [report.started_at for report in view.steps if report.started_at is not None]
    if view.is_skipped:
        return ""
    if view.result is not None:
        return f"{view.result.ended_at - view.result.started_at:.1f} s"
    return f"{now - min(starts):.1f} s" if starts and not view.state.ended else ""


def elapsed_of_step(report: StepReport, now: float) -> str:
    """Return the time that a step took, or has taken so far; empty before its start."""
    if report.started_at is None:
        return ""
    if report.ended_at is None and report.state is not StepState.RUNNING:
        return ""  # its end is unknown
    return f"{(report.ended_at or now) - report.started_at:.1f} s"


def _outcome(status: RunStatus, state_text: str, now: float) -> str:
    elapsed = time_text((status.ended_at or now) - status.created_at)
    cost_usd = status.cost_usd
    cost = "" if cost_usd is None else f", {usd(cost_usd)} without starts"
    verb = "for" if status.state is RunState.RUNNING else "after"
    return f"{state_text} {verb} {elapsed}{cost}"
