"""Why the jobs of a run do not start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from flowyml_aws.core.findings import Finding
from flowyml_aws.doctor.examination import Report
from flowyml_aws.submission.backend import Diagnoses, JobState
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.status import JobView

__all__ = ["examine_run"]


def examine_run(driver: RunDriver) -> Iterator[Report]:
    """What keeps each job of a run from going on, in plan order.

    Queued jobs are looked at twice, and what only one look sees is not told.

    Raises:
        FlowymlError: The store or the backend can't tell how the jobs are.
    """
    status = driver.status()
    queued = {view.job.name for view in status.jobs if view.state is JobState.QUEUED}
    why = _lasting(driver) if queued else {}
    states = {view.job.name: view.state for view in status.jobs}
    for view in status.jobs:
        name = view.job.name
        found = why.get(name) if name in queued else None
        yield Report(name, tuple(found or [_told(view, states)]), is_complete=True)


def _lasting(driver: RunDriver) -> Mapping[str, Sequence[Finding]]:
    backend = driver.backend
    if not isinstance(backend, Diagnoses):
        return {}
    first = backend.diagnose()
    if not any(first.values()):
        return {}
    backend.pause()
    codes = {job: {one.code for one in found} for job, found in first.items()}
    return {
        job: [one for one in found if one.code in codes.get(job, ())]
        for job, found in backend.diagnose().items()
    }


def _told(view: JobView, states: Mapping[str, JobState]) -> Finding:
    """A job that nothing was found of."""
    name = view.job.name
    if view.state in (JobState.WAITING, JobState.QUEUED) and view.reason:
        fix = "wait, or cancel the run and change what is named"
        return Finding("job-held", "warning", f"Job {name!r} waits", view.reason, fix)
    match view.state:
        case JobState.FAILED:
            return Finding(
                "job-failed",
                "error",
                f"Job {name!r} has failed",
                view.reason or "it gives no reason",
                "flowyml-aws status and logs tell more",
            )
        case JobState.BLOCKED | JobState.CANCELLED | JobState.LOST:
            return Finding(
                "job-ended", "note", f"Job {name!r} is {view.state.value}", view.reason or ""
            )
        case JobState.WAITING:
            waits = [parent for parent in view.job.after if not states[parent].ended]
            why = f"for {', '.join(waits)}" if waits else "to be submitted: `flowyml-aws attach`"
            return Finding("job-waiting", "ok", f"Job {name!r} waits {why}")
        case JobState.QUEUED:
            return Finding(
                "job-queued",
                "ok",
                f"Job {name!r} is queued for an instance, and nothing is wrong so far",
                "an instance takes some minutes to start; what keeps it is told after a minute",
            )
        case _:
            return Finding("job", "ok", f"Job {name!r} is {view.state.value}")
