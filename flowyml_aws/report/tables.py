"""Figures of a run as files: JSON with everything, or CSV with a row for each step."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from flowyml_aws.report.data import JobEntry, RunReport, SegmentKind, StepEntry
from flowyml_aws.report.starts import known_seconds
from flowyml_aws.runtime.logged import StepLogged
from flowyml_aws.submission.starts import StartKind

__all__ = ["step_rows", "to_csv"]


def to_csv(report: RunReport) -> str:
    """Return a table with a row for each step, and the figures of its job.

    Cells that a spreadsheet would take for a formula begin with an apostrophe.
    """
    text = io.StringIO()
    rows = list(step_rows(report))
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else ["run_id"])
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return text.getvalue()


def step_rows(report: RunReport) -> Iterator[dict[str, Any]]:
    """Yield the figures of each step. Those whose name begins with `job_` are of its whole job."""
    jobs = {job.name: job for job in report.jobs}
    sizes = {asset.name: asset.size_bytes for asset in report.assets}
    for step in report.steps:
        job = jobs.get(step.job) if step.job is not None else None
        yield _row(report, step, job, sum(sizes.get(name) or 0 for name in step.outputs))


def _row(
    report: RunReport, step: StepEntry, job: JobEntry | None, output_bytes: int
) -> dict[str, Any]:
    usage, lost = step.usage, None if job is None else job.lost
    bill = None if job is None else job.bill
    start = None if job is None else job.start
    return {
        "run_id": report.run_id,
        "pipeline": report.pipeline,
        "step": step.name,
        "state": step.state.value,
        "retries": step.retries,
        "started_at": step.started_at,
        "ended_at": step.ended_at,
        "duration_s": step.duration_s,
        "reused_from": step.reused_from,
        "reason": step.reason,
        "output_bytes": output_bytes,
        "cpu_core_s": None if usage is None else usage.cpu_core_s,
        "memory_peak_mib": None if usage is None else usage.memory_peak_mib,
        "metrics": None if step.logged is None else _metrics(step.logged),
        "gpu_percent": None if usage is None else max(usage.gpu_percent, default=None),
        "job": step.job,
        "job_group": None if job is None else job.group,
        "job_state": None if job is None else job.state_name,
        "job_attempt": None if job is None else job.attempt,
        "job_backend": None if job is None else job.backend,
        "job_target": None if job is None else job.target,
        "job_instance_type": None if job is None else job.instance_type,
        "job_nodes": None if job is None else job.nodes,
        "job_vcpus": None if job is None else job.vcpus,
        "job_memory_mib": None if job is None else job.memory_mib,
        **{
            f"job_{kind.value}_s": None if job is None else round(job.seconds(kind), 3)
            for kind in SegmentKind
        },
        **{f"job_start_{kind.value}_s": known_seconds(start, kind) for kind in StartKind},
        "job_start_s": None if start is None else start.seconds,
        "job_cost_usd": None if job is None else job.cost_usd,
        "job_expected_cost_usd": None if job is None else job.expected_cost_usd,
        "job_lost_attempts": None if lost is None else lost.count,
        "job_lost_usd": None if lost is None else lost.cost_usd,
        "job_billed_s": None if bill is None else bill.billed_s,
    }


def _metrics(logged: StepLogged) -> str | None:
    """Return the last value of each metric as JSON; None if there is none."""
    last = {name: series.last for name, series in logged.metrics.items()}
    return json.dumps(last) if last else None


def _cell(value: Any) -> Any:
    is_formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if is_formula else value
