"""The comparison of options that an account may lack. Pure functions."""

from __future__ import annotations

from flowyml_aws.doctor.prove.observations import PartObservation, Rows, no_facts
from flowyml_aws.doctor.prove.report import Row
from flowyml_aws.doctor.prove.steps import DATA
from flowyml_aws.submission.backend import JobState

__all__ = ["check_data", "check_priority", "check_schedule", "check_shell"]


def check_priority(o: PartObservation, row: Rows) -> Row:
    """Compare the priority of a job."""
    expected = f"runs with priority {o.part.options.priority} in a fair-share queue"
    is_done = o.stages[0].view.state is JobState.SUCCEEDED and o.job.share is not None
    observed = f"{o.stages[0].view.state.value} in the share {o.job.share}"
    return row.compare(is_done, expected, observed, "look at the scheduling policy of the queue")


def check_schedule(o: PartObservation, row: Rows) -> Row:
    """Compare the times at which a schedule has started runs."""
    expected = f"one run, at {o.due}"
    served = ", ".join(o.served) or "none"
    if not o.stages:
        reason = (
            f"{o.problem}: look at the metric TargetErrorCount of AWS/Scheduler, and at the jobs "
            "of the queue for drivers"
        )
        return row("deviated", expected, f"times with a run: {served}", reason)
    seen = o.stages[0].scheduled
    if seen is None:
        return row.unchecked(expected, no_facts(o))
    reason = "the times of the schedule, or the time that jobs see, are wrong"
    observed = f"times with a run: {served}; the job saw {seen or 'no time'}"
    return row.compare(o.served == (o.due,) and seen == o.due, expected, observed, reason)


def check_shell(o: PartObservation, row: Rows) -> Row:
    """Report whether a session was opened in the running job."""
    expected = "AWS opens a session in the running job"
    if o.shell.value is None and not o.shell.reason:
        return row.unchecked(expected, "the job was not seen running")
    return row.compare(
        bool(o.shell.value), expected, "opened" if o.shell.value else "not opened", o.shell.reason
    )


def check_data(o: PartObservation, row: Rows) -> Row:
    """Compare the content of a mounted prefix of S3."""
    expected = "a step reads an object of a prefix that the service mounts"
    data = o.stages[0].data
    if data is None:
        return row.unchecked(expected, no_facts(o))
    agrees = data == DATA and bool(o.job.mounts)
    observed = f"{len(data)} bytes, {'mounted' if o.job.mounts else 'downloaded'}"
    reason = "the step has read other bytes, or the plan has not mounted the prefix"
    return row.compare(agrees, expected, observed, reason)
