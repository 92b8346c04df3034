"""JSON representations of runs and selections, for `--json`."""

from __future__ import annotations

import codecs
import json
import re
import sys
from collections.abc import Collection
from typing import Any

from flowyml_aws.client.run import StoredOutput
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.plan import PlannedJob
from flowyml_aws.planning.selection import Selection
from flowyml_aws.planning.targets import Candidate
from flowyml_aws.submission.approvals import ApprovalView
from flowyml_aws.submission.compare import Comparison
from flowyml_aws.submission.losses import LostAttempts
from flowyml_aws.submission.map_progress import MapProgress
from flowyml_aws.submission.status import JobView, RunStatus

__all__ = [
    "approval_facts",
    "candidate_facts",
    "comparison_facts",
    "json_text",
    "output_facts",
    "print_json",
    "selection_facts",
    "status_facts",
]


def print_json(facts: Any) -> None:
    """Print one JSON document to standard output."""
    print(json_text(facts, indent=1))


def json_text(facts: Any, indent: int | None = None) -> str:
    """Return JSON that standard output can encode, and that a terminal shows as it is."""
    is_unicode = codecs.lookup(sys.stdout.encoding or "ascii").name.startswith("utf")
    text = json.dumps(facts, indent=indent, ensure_ascii=not is_unicode)
    # JSON escapes the control characters below U+0020 only.
    return re.sub("[\x7f-\x9f]", lambda match: f"\\u{ord(match[0]):04x}", text)


def status_facts(
    status: RunStatus, selected: Collection[PlannedJob] | None = None
) -> dict[str, Any]:
    """Return the status of a run.

    Args:
        status: Status of the run.
        selected: Jobs to include; None for all.
    """
    names = None if selected is None else {job.name for job in selected}
    views = (view for view in status.jobs if names is None or view.job.name in names)
    jobs = [_job_facts(view, status) for view in views]
    return {
        "run_id": status.run_id,
        "pipeline": status.pipeline,
        "backend": status.backend,
        "state": status.state.value,
        "created_at": status.created_at,
        "ended_at": status.ended_at,
        "waits_for_approval": status.waits_for_approval,
        "approvals": {view.name: approval_facts(view) for view in status.approvals},
        "sub_runs": {
            view.step: {
                "run_id": view.run_id,
                "refusal": view.refusal,
                "status": None if view.status is None else status_facts(view.status),
            }
            for view in status.expansions
        },
        "jobs": jobs,
        "maps": {name: _map_facts(each) for name, each in status.progress.items()},
        "lost": status.lost_attempts.model_dump(mode="json"),
        "counted_usd": status.counted_usd,
        "cost_limit": status.cost_limit and status.cost_limit.model_dump(mode="json"),
        "moves": [move.model_dump(mode="json") for move in status.moves],
        "bills": {job: bill.model_dump(mode="json") for job, bill in status.bills.items()},
        "unbilled": list(status.unbilled),
        "cached": {
            name: step.run_id for name, step in status.reused.items() if step.cause_of_skip is None
        },
        "skipped": {
            name: step.cause_of_skip
            for name, step in status.reused.items()
            if step.cause_of_skip is not None
        },
    }


def comparison_facts(comparison: Comparison, everything: bool) -> dict[str, Any]:
    """Return the differences between two runs, or all their values."""
    runs = {"first": comparison.first, "second": comparison.second}
    return {
        **{
            label: {
                "run_id": run.run_id,
                "pipeline": run.pipeline,
                "backend": run.backend,
                "state": run.state,
                "duration_s": run.duration_s,
                "cost_usd": run.cost_usd,
            }
            for label, run in runs.items()
        },
        "values": [
            {
                "kind": value.kind.value,
                "step": value.step,
                "name": value.name,
                "first": value.first,
                "second": value.second,
                "is_different": value.is_different,
            }
            for value in (comparison.values if everything else comparison.differences)
        ],
        "notes": list(comparison.notes),
    }


def _job_facts(view: JobView, status: RunStatus) -> dict[str, Any]:
    return {
        "name": view.job.name,
        "state": view.state_name,
        "attempt": view.attempt,
        "reason": view.reason,
        "changed_values": view.result.changed if view.result is not None else {},
        "instance_type": None if view.is_skipped else view.instance_type,
        "nodes": view.job.needs.nodes,
        "planned_instance_type": view.job.instance_type,
        "cost_usd": view.cost_usd,
        "lost": status.lost.get(view.job.name, LostAttempts()).model_dump(mode="json"),
        "target": view.job.target,
        "needs_client": view.needs_client,
        "steps": [report.model_dump(mode="json") for report in status.reports_of(view)],
    }


def approval_facts(view: ApprovalView) -> dict[str, Any]:
    """Return the state of an approval, the jobs after it, and its answer."""
    return {
        "state": view.state.value,
        "approver": view.planned.approver,
        "waits_s": view.waits_s,
        "timeout_s": view.planned.timeout_s,
        "jobs": list(view.jobs),
        "answer": view.answer and view.answer.model_dump(mode="json"),
    }


def _map_facts(progress: MapProgress) -> dict[str, Any]:
    return {
        "items": progress.total,
        "required": progress.required,
        "states": {state.value: count for state, count in progress.states.items()},
        "failed": [item.report.name for item in progress.failed],
        "dropped": [item.report.name for item in progress.dropped],
    }


def output_facts(output: StoredOutput) -> dict[str, Any]:
    """Return the place of a stored output."""
    return {"asset": output.asset, "step": output.step, **json.loads(output.ref.to_json())}


def candidate_facts(needs: Needs, candidate: Candidate) -> dict[str, Any]:
    """Return an instance type as a target offers it, with the price of all nodes."""
    instance = candidate.instance
    return {
        "instance_type": candidate.name,
        "price_usd_hour": needs.price_of_nodes(candidate.price_usd_hour),
        "price_basis": candidate.price_basis,
        "target": candidate.target.name,
        **candidate.gives._asdict(),
        "gpu_model": instance.gpu_model,
        "nvme_gb": instance.nvme_gb,
        "arch": instance.arch,
        "efa": candidate.has_efa(needs.nodes),
        "retired_after": instance.retired_after,
    }


def selection_facts(selection: Selection) -> dict[str, Any]:
    """Return the candidates for a job, the near misses, and the rejected types with reasons."""
    needs = selection.request.needs
    return {
        "needs": str(needs),
        "nodes": needs.nodes,
        "candidates": [candidate_facts(needs, candidate) for candidate in selection.candidates()],
        "notes": list(selection.notes),
        "near_misses": [
            {
                "lacks": miss.lacks,
                "gives": miss.gives,
                "saved": miss.saved,
                **candidate_facts(needs, miss.candidate),
            }
            for miss in selection.near_misses()
        ],
        "rejected": [
            {"target": r.target, "instance_type": r.instance_type, "reason": r.reason}
            for r in selection.rejections()
        ],
    }
