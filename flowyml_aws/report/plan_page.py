"""A plan as one HTML page with its graph, which needs no server and makes no request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flowyml_aws.core.maps import short_names
from flowyml_aws.planning.job_rows import JobRow, job_rows, rows_by_job
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
from flowyml_aws.report.outline import plan_outline
from flowyml_aws.report.rendering import packed_json, render

__all__ = ["plan_html"]


def plan_html(plan: ExecutionPlan, machines: Mapping[str, str]) -> str:
    """Return a page with the graph of a plan, and a table of its jobs.

    Args:
        plan: The plan.
        machines: Machine of each job as text; empty on this machine.
    """
    nodes = [node.to_dict() for node in plan_outline(plan, machines)]
    rows = job_rows(plan.jobs, lambda job: machines[job.name])
    of_job = rows_by_job(rows)
    return render(
        "plan.html",
        scripts=("base.js", "keyboard.js", "graph.js", "plan.js"),
        plan=plan,
        rows=[_row(row, of_job) for row in rows],
        machines=machines,
        nodes=packed_json(nodes),
    )


def _row(row: JobRow[PlannedJob], rows: Mapping[str, JobRow[PlannedJob]]) -> dict[str, Any]:
    parents = [rows[name].title for job in row.jobs for name in job.after]
    parents += [row.first.taken_text] if row.first.held else []
    parents += [f"approval {name}" for name in row.first.approvals]
    return {
        "title": row.title,
        "first": row.first,
        "steps": row.steps,
        "after": list(dict.fromkeys(parents)),
        "reads": short_names(dict.fromkeys(asset for job in row.jobs for asset in job.reads)),
    }
