"""Diagnosis of the jobs of a run: the reasons why they do not start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from flowyml_aws.core.findings import Finding
from flowyml_aws.doctor.ended import find_end
from flowyml_aws.doctor.examination import Report
from flowyml_aws.planning.wording import time_text
from flowyml_aws.submission.approvals import ApprovalState
from flowyml_aws.submission.backend import Diagnoses, JobState
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.status import JobView, RunStatus, failures

__all__ = ["examine_run"]


def examine_run(driver: RunDriver) -> Iterator[Report]:
    """Report the state of each job of a run, and what keeps it from starting, in plan order.

    The first report of a run that has ended or is cancelled is about the whole run. The jobs of a
    sub-run follow the job of its dynamic step.
    Queued jobs are diagnosed twice; findings of only one of the two diagnoses are dropped.

    Raises:
        FlowymlError: The store or the backend can't return the states of the jobs.
    """
    status = driver.status()
    if (end := find_end(driver, status)) is not None:
        yield Report(status.run_id, (end,), is_complete=True)
    queued = {view.job.name for view in status.jobs if view.state is JobState.QUEUED}
    diagnoses = _confirmed_diagnoses(driver) if queued else {}
    states = {view.job.name: view.state for view in status.jobs}
    reasons = {failure.job: failure.reason for failure in failures(status)}
    for view in status.jobs:
        name = view.job.name
        findings = diagnoses.get(name) if name in queued else None
        yield Report(
            name,
            tuple(findings or [_state_finding(status, view, states, reasons)]),
            is_complete=True,
        )
        yield from _examine_pipelines(driver, view)


def _examine_pipelines(driver: RunDriver, view: JobView) -> Iterator[Report]:
    """Report the jobs of the sub-runs of a job's dynamic steps."""
    for step in (step for step in view.job.steps if step in driver.plan.dynamic):
        if (part := driver.sub_run(step)) is not None:
            for report in examine_run(part):
                yield replace(report, check=f"{step}/{report.check}")


def _confirmed_diagnoses(driver: RunDriver) -> Mapping[str, Sequence[Finding]]:
    backend = driver.backend
    if not isinstance(backend, Diagnoses):
        return {}
    first = backend.diagnose()
    if not any(first.values()):
        return {}
    backend.pause()
    codes = {job: {finding.code for finding in findings} for job, findings in first.items()}
    return {
        job: [finding for finding in findings if finding.code in codes.get(job, ())]
        for job, findings in backend.diagnose().items()
    }


def _state_finding(
    status: RunStatus, view: JobView, states: Mapping[str, JobState], reasons: Mapping[str, str]
) -> Finding:
    """Return the finding for a job that has no diagnosis."""
    name, run_id = view.job.name, status.run_id
    asked = [each for each in status.approvals if each.state is ApprovalState.WAITING]
    for approval in (each for each in asked if each.name in view.job.approvals):
        what = f"Job {name!r} waits for approval {approval.name!r}"
        by = "a person" if approval.planned.approver is None else approval.planned.approver
        why = f"{by} has to answer it within {time_text(approval.left_s)}"
        return Finding("no-approval", "warning", what, why, f"`{approval.command(run_id)}`")
    if view.needs_client:
        fix = f"`flowyml-aws attach {run_id}` continues the run, unless another client drives it"
        can = "can be submitted or skipped" if view.job.held else "can be submitted"
        why = view.reason or f"it {can} now"
        return Finding("no-client", "warning", f"Job {name!r} waits for a client", why, fix)
    parents = [parent for parent in view.job.after if not states[parent].ended]
    if view.state in (JobState.WAITING, JobState.QUEUED) and view.reason and not parents:
        fix = "wait, or cancel the run and fix the reason"
        return Finding("job-held", "warning", f"Job {name!r} is waiting", view.reason, fix)
    match view.state:
        case JobState.FAILED:
            return Finding(
                "job-failed",
                "error",
                f"Job {name!r} has failed",
                reasons[name],
                f"see `flowyml-aws status {run_id}` and `flowyml-aws logs {run_id} {name}`",
            )
        case JobState.BLOCKED | JobState.CANCELLED | JobState.LOST:
            return Finding(
                "job-ended", "note", f"Job {name!r} is {view.state.value}", view.reason or ""
            )
        case JobState.SUCCEEDED:
            what = "was skipped" if view.is_skipped else "has succeeded"
            return Finding("job", "ok", f"Job {name!r} {what}")
        case JobState.WAITING:
            what = f"Job {name!r} is waiting"
            if parents:
                what += f" for {', '.join(parents)}"
            return Finding("job-waiting", "ok", what)
        case JobState.QUEUED:
            return Finding(
                "job-queued",
                "ok",
                f"Job {name!r} is waiting for an instance; no problem found so far",
                "an instance takes some minutes to start; problems are reported after a minute",
            )
        case _:
            return Finding("job", "ok", f"Job {name!r} is {view.state.value}", view.reason or "")
