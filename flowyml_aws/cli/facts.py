"""Runs and plans as JSON facts, for `--json`."""

from __future__ import annotations

import json
import sys
from typing import Any

from flowyml_aws.submission.status import JobView, RunStatus

__all__ = ["print_json", "status_facts"]


def print_json(facts: Any) -> None:
    """One JSON document on standard output."""
    json.dump(facts, sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")


def status_facts(status: RunStatus) -> dict[str, Any]:
    """A run at one moment."""
    return {
        "run_id": status.run_id,
        "pipeline": status.pipeline,
        "backend": status.backend,
        "state": status.state.value,
        "created_at": status.created_at,
        "ended_at": status.ended_at,
        "jobs": [_job_facts(view) for view in status.jobs],
    }


def _job_facts(view: JobView) -> dict[str, Any]:
    reports = {report.name: report.model_dump(mode="json") for report in view.steps}
    return {
        "name": view.job.name,
        "state": view.state.value,
        "attempt": view.attempt,
        "reason": view.reason,
        "instance_type": view.job.instance_type,
        "target": view.job.target,
        "steps": [
            reports.get(name) or {"name": name, "state": "waiting"} for name in view.job.steps
        ],
    }
