"""Advice on the requests of a run's jobs, from the latest runs of its pipeline."""

from __future__ import annotations

from collections.abc import Sequence

from flowyml_aws.planning.advice.evidence import MIN_RUNS, evidence_of, together
from flowyml_aws.planning.advice.requests import advised_needs
from flowyml_aws.planning.history import RunTimes
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
from flowyml_aws.report.data import AdviceEntry

__all__ = ["advice_entries"]


def advice_entries(plan: ExecutionPlan, history: Sequence[RunTimes]) -> tuple[AdviceEntry, ...]:
    """Return the measured use and the advised request of each job, without those of `auto`.

    Types and prices need the targets of the account, which a report does not read.

    Args:
        plan: Plan of the run.
        history: Latest runs of the pipeline, newest first.
    """
    entries = (_entry(job, history) for job in plan.jobs if not job.origins)
    return tuple(entry for entry in entries if entry.runs)


def _entry(job: PlannedJob, history: Sequence[RunTimes]) -> AdviceEntry:
    evidence = together(evidence_of(step, history) for step in job.steps)
    advised = advised_needs(job.needs, evidence) if evidence.runs >= MIN_RUNS else None
    return AdviceEntry(
        job=job.name,
        runs=evidence.runs,
        cpu_peak_cores=evidence.cpu_peak_cores,
        memory_peak_mib=evidence.memory_mib,
        gpus=evidence.gpus if job.needs.gpu_count else None,
        requested=str(job.needs),
        advised=None if advised is None else str(advised),
    )
