"""The summary of a run's result: a line on each step, and on each map."""

from __future__ import annotations

from collections.abc import Iterator

from flowyml_aws.core.amounts import counted, usd
from flowyml_aws.planning.job_rows import job_rows
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.cost_limit import limit_notes
from flowyml_aws.submission.losses import lost_text
from flowyml_aws.submission.map_failures import described_failures
from flowyml_aws.submission.status import (
    RunStatus,
    gpu_notes,
    item_notes,
    machine_notes,
    unbilled_notes,
    value_notes,
)
from flowyml_aws.submission.whole_status import with_sub_runs

__all__ = ["summary_lines"]


def summary_lines(status: RunStatus, now: float) -> Iterator[str]:
    """Yield lines on the steps of a run, its failures and its cost.

    Args:
        status: Status of the run.
        now: Seconds since the epoch; its end, if it has ended.
    """
    status = with_sub_runs(status)
    yield from _step_lines(status)
    yield from item_notes(status)
    yield from (failure.headline for failure in described_failures(status))
    yield from _blocked_lines(status)
    yield from map(str, status.moves)
    if (line := lost_text(status.lost)) is not None:
        yield line
    yield from limit_notes(status)
    yield from gpu_notes(status, now)
    yield from machine_notes(status)
    yield from value_notes(status)
    if (cost_usd := status.cost_usd) is not None:
        yield f"cost of the jobs without their start: {usd(cost_usd)}"
    yield from _bill_lines(status)
    yield from unbilled_notes(status)


def _blocked_lines(status: RunStatus) -> Iterator[str]:
    """Yield a line on each blocked job, and one on all blocked jobs of a map."""
    blocked = {view.job.name: view for view in status.jobs if view.state is JobState.BLOCKED}
    for row in job_rows(view.job for view in blocked.values()):
        reason = blocked[row.first.name].reason
        yield f"job {row.title} blocked: {reason}"


def _bill_lines(status: RunStatus) -> Iterator[str]:
    """Yield a line on the bill of each job, and one on those of all jobs of a map."""
    for row in job_rows(view.job for view in status.jobs):
        bills = [status.bills[job.name] for job in row.jobs if job.name in status.bills]
        if len(bills) > 1:
            seconds = sum(bill.billed_s for bill in bills)
            yield f"{row.title}: {counted(len(bills), 'job')} are billed for {seconds} s"
        for bill in bills if len(bills) == 1 else ():
            on = f" on {bill.instance_type}" if bill.instance_type else ""
            nodes = row.first.needs.nodes
            on += f" ({nodes} nodes together)" if nodes > 1 else ""
            saved = f", {bill.saved:.0%} saved by spot capacity" if bill.is_spot else ""
            yield f"job {row.title} is billed for {bill.billed_s} s{on}{saved}"


def _step_lines(status: RunStatus) -> Iterator[str]:
    """Yield a line on each declared step."""
    shown: set[str] = set()
    for report in status.steps.values():
        if (of_map := status.map_of.get(report.name)) is None:
            retries = f", {report.retries} retries" if report.retries else ""
            why = f" ({report.reason})" if report.reason else ""
            yield f"{report.name}: {report.state.value}, {report.duration_s:.2f} s{retries}{why}"
        elif of_map.step not in shown:
            shown.add(of_map.step)
            seconds = sum(item.report.duration_s for item in of_map.items)
            number = sum(item.report.retries for item in of_map.items)
            retries = f", {number:,} retries" if number else ""
            yield f"{of_map.step}: {of_map.text}, {seconds:.2f} s in total{retries}"
