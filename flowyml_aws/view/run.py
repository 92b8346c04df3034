"""Progress of a run: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from shlex import quote
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from flowyml_aws.client.notebook import live_cell
from flowyml_aws.core.amounts import counted
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
from flowyml_aws.planning.wording import time_text
from flowyml_aws.runtime.result import StepState
from flowyml_aws.submission.approvals import approval_notes
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.cost_limit import limit_error, limit_notes
from flowyml_aws.submission.losses import lost_text
from flowyml_aws.submission.map_failures import described_failures
from flowyml_aws.submission.map_progress import cause_of
from flowyml_aws.submission.map_rows import MapRow, map_state, reused_rows, status_rows
from flowyml_aws.submission.record import RunState
from flowyml_aws.submission.status import (
    JobView,
    RunStatus,
    client_warning,
    gpu_notes,
    item_notes,
    machine_notes,
    sub_run_notes,
    unbilled_notes,
    value_notes,
)
from flowyml_aws.submission.status_sheets import elapsed_of_job, elapsed_of_step
from flowyml_aws.submission.whole_status import with_sub_runs
from flowyml_aws.view.fitted import Column, FittedTable
from flowyml_aws.view.plain_lines import PlainLines, state_text
from flowyml_aws.view.plan import not_run_lines
from flowyml_aws.view.terminal import Terminal, program

if TYPE_CHECKING:
    from flowyml_aws.client.run import Run

__all__ = ["expected_duration_s", "failure_texts", "job_table", "status_table", "watching"]

_JOB_STYLE = {
    JobState.SUCCEEDED: "green",
    JobState.FAILED: "bold red",
    JobState.CANCELLED: "yellow",
    JobState.BLOCKED: "red",
    JobState.RUNNING: "cyan",
    JobState.STARTING: "cyan",
}
_STEP_STYLE = {
    StepState.SUCCEEDED: "green",
    StepState.CACHED: "green",
    StepState.FAILED: "bold red",
    StepState.SKIPPED: "yellow",
    StepState.RUNNING: "cyan",
    StepState.CANCELLED: "yellow",
}
_COLUMNS = (
    Column("job / step"),
    Column("state"),
    Column("attempt", rank=2),
    Column("on", rank=1),
    Column("elapsed", is_number=True),
)

_ORIGIN = {"argument": "", "setting": " (setting `backend`)", "default": " (the default)"}


@contextmanager
def watching(run: Run) -> Iterator[Callable[[RunStatus], None]]:
    """Yield a callback for `Run.wait` that prints the progress of the run to standard error.

    Tracebacks of failures are printed at the end. In a notebook, the cell shows both.
    """
    if (cell := live_cell(run.plan.notes)) is not None:
        yield cell
        return
    if getattr(sys.stderr, "closed", False):  # the script may have closed it
        yield lambda _: None
        return
    console = Terminal(stderr=True)
    last: list[RunStatus] = []
    origin = _ORIGIN[run.plan.backend_origin]
    jobs = counted(len(run.plan.jobs), "job")
    expected_s = expected_duration_s(run.plan)
    about = "at most" if run.plan.has_branches else "about"
    expected = (
        "" if expected_s is None else f", {about} {time_text(expected_s)} ({_basis(run.plan)})"
    )
    console.print(f"run {run.id} on {run.plan.backend}{origin}: {jobs}{expected}", highlight=False)
    for note in run.plan.notes:
        console.print(f"note: {note}", style="yellow", markup=False, soft_wrap=True)
    for line in not_run_lines(run.plan):
        console.print(line, soft_wrap=True)
    if console.is_terminal:
        try:
            # A live table is cut off at the edge of the terminal, the last one is not.
            with Live(console=console, refresh_per_second=8, transient=True) as live:

                def update_table(status: RunStatus) -> None:
                    last[:] = [status]
                    live.update(status_table(status, time.time(), expected_s))

                yield update_table
        finally:
            for status in last:
                console.print(status_table(status, time.time(), expected_s))
    else:
        lines = PlainLines(console)

        def print_changes(status: RunStatus) -> None:
            last[:] = [status]
            lines.print_changes(with_sub_runs(status))

        yield print_changes
    for status in map(with_sub_runs, last):
        # The table includes them.
        notes = (
            *noted_losses(status),
            *noted_costs(status),
            *noted_gpus(status, time.time()),
            *noted_items(status),
            *bills(status),
            *noted_machines(status),
            *noted_values(status),
        )
        for line in () if console.is_terminal else notes:
            console.print(line, soft_wrap=True)
        # Unwrapped, so that paths and commands can be copied.
        console.print(*failure_texts(status), sep="", soft_wrap=True)


def status_table(status: RunStatus, now: float, expected_s: float | None = None) -> RenderableType:
    """Return a table of jobs and steps: state, attempt, instance type, elapsed time.

    Args:
        status: Status of the run.
        now: Seconds since the epoch.
        expected_s: Expected duration of the run in seconds; None if it is unknown.
    """
    sub_runs, outcome = sub_run_notes(status), status.state_text
    status = with_sub_runs(status)
    table = FittedTable(_COLUMNS)
    waits: list[Text] = []
    states = {view.job.name: view.state for view in status.jobs}
    for view in status_rows(status):
        if isinstance(view, MapRow):
            _add_map(table, view, now)
            if view.waits is not None:
                waits.append(Text(view.waits, style="yellow"))
            continue
        parents = [
            parent for parent in view.job.after if parent in states and not states[parent].ended
        ]
        state = Text(state_text(view, parents), style=_job_style(view))
        attempt = str(view.attempt) if view.attempt else ""
        table.add_row(
            Text(view.job.name, style="bold"),
            state,
            attempt,
            view.location,
            elapsed_of_job(view, now),
        )
        if not view.state.ended and view.reason:
            runs = view.state in (JobState.STARTING, JobState.RUNNING)
            verb = "runs" if runs else "waits"
            waits.append(Text(f"{view.job.name} {verb}: {view.reason}", style="yellow"))
        _add_steps(table, status, view, now)
    if reused := reused_rows(status):
        table.add_row(Text("from earlier runs", style="bold"), "", "", "", "")
    for name, text, step_state in reused:
        table.add_row(f"  {name}", Text(text, style=_STEP_STYLE[step_state]), "", "", "")
    elapsed = time_text((status.ended_at or now) - status.created_at)
    if status.state is RunState.RUNNING and expected_s is not None:
        elapsed += f" of about {time_text(expected_s)}"
    if status.outage is not None:
        waits.append(Text(f"AWS {status.outage}", style="yellow"))
    return Group(
        table,
        *waits,
        *noted_approvals(status),
        *map(Text, sub_runs),
        *noted_moves(status),
        *noted_losses(status),
        *noted_costs(status),
        *noted_gpus(status, now),
        *noted_items(status),
        *noted_machines(status),
        *noted_values(status),
        *bills(status),
        *_warned(status),
        Text(f"{outcome}, {elapsed}", style="dim"),
    )


def job_table(status: RunStatus, jobs: Iterable[PlannedJob], now: float) -> RenderableType:
    """Return a table of some jobs with all their steps, also those of items.

    Args:
        status: Status of the run.
        jobs: Jobs to show.
        now: Seconds since the epoch.
    """
    table = FittedTable(_COLUMNS)
    views = {view.job.name: view for view in status.jobs}
    for view in (views[job.name] for job in jobs):
        table.add_row(
            Text(view.job.name, style="bold"),
            Text(view.state_name, style=_job_style(view)),
            str(view.attempt) if view.attempt else "",
            view.location,
            elapsed_of_job(view, now),
        )
        _add_steps(table, status, view, now)
    return table


def _job_style(view: JobView) -> str:
    if view.is_skipped:
        return _STEP_STYLE[StepState.SKIPPED]
    return _JOB_STYLE.get(view.state, "dim")


def _add_steps(table: FittedTable, status: RunStatus, view: JobView, now: float) -> None:
    for report in status.reports_of(view):
        reason = f": {cause_of(report)}" if view.job.mapped and report.failure else ""
        style = _STEP_STYLE.get(report.state, "dim")
        state = Text(f"{report.state.value}{reason}", style=style)
        retries = f"retry {report.retries}" if report.retries else ""
        table.add_row(f"  {report.name}", state, retries, "", elapsed_of_step(report, now))


def _add_map(table: FittedTable, row: MapRow, now: float) -> None:
    state = Text(row.state_text, style=_JOB_STYLE.get(row.state, "dim"))
    elapsed = row.elapsed(now)
    table.add_row(Text(row.title, style="bold"), state, row.attempts, row.place, elapsed)
    for each in row.steps:
        style = _STEP_STYLE.get(map_state(each), "dim")
        table.add_row(f"  {each.step}", Text(each.text, style=style), "", "", "")


def expected_duration_s(plan: ExecutionPlan) -> float | None:
    """Return the expected duration of a run in seconds; None if it is unknown."""
    return plan.estimate.wall_s if plan.estimate is not None else None


def noted_moves(status: RunStatus) -> list[Text]:
    """Return a line on each move of a job to another machine."""
    return [Text(str(move), style="yellow") for move in status.moves]


def noted_approvals(status: RunStatus) -> list[Text]:
    """Return a line on each approval that someone has answered or has to answer."""
    return [Text(note, style="yellow") for note in approval_notes(status.approvals, status.run_id)]


def noted_losses(status: RunStatus) -> list[Text]:
    """Return a line on the attempts that were lost, with their cost."""
    line = lost_text(status.lost)
    return [] if line is None else [Text(line, style="yellow")]


def noted_costs(status: RunStatus) -> list[Text]:
    """Return a line on the cost limit of a run that has one, or the error if it was reached."""
    style = "red" if limit_error(status) is not None else "dim"
    return [Text(note, style=style) for note in limit_notes(status)]


def noted_gpus(status: RunStatus, now: float) -> list[Text]:
    """Return a line on each step that has not used the GPUs of its job for long."""
    return [Text(note, style="yellow") for note in gpu_notes(status, now)]


def noted_items(status: RunStatus) -> list[Text]:
    """Return a line on each map of whose failed items the run continues without."""
    return [Text(note, style="yellow") for note in item_notes(status)]


def _warned(status: RunStatus) -> list[Text]:
    warning = client_warning(status)
    return [] if warning is None else [Text(warning, style="yellow")]


def noted_machines(status: RunStatus) -> list[Text]:
    """Return a line on each job that ran on another instance type than the planned one."""
    return [Text(note, style="yellow") for note in machine_notes(status)]


def noted_values(status: RunStatus) -> list[Text]:
    """Return a line on each value that was different in a job."""
    return [Text(note, style="yellow") for note in value_notes(status)]


def bills(status: RunStatus) -> list[Text]:
    """Return the billed time of the jobs of a run that has ended, if their service reports it."""
    billed = status.bills.values()
    missing = [Text(line) for line in unbilled_notes(status)]
    if not billed:
        return missing
    saved_s = sum(bill.ran_s - bill.billed_s for bill in billed if bill.is_spot)
    saved = f" ({saved_s} s saved by spot capacity)" if saved_s > 0 else ""
    seconds = sum(bill.billed_s for bill in billed)
    return [Text(f"SageMaker bills {counted(len(billed), 'job')} for {seconds} s{saved}"), *missing]


def failure_texts(status: RunStatus) -> list[Text]:
    """Return the reason and the user's traceback of each failed job, as one `Text` per job.

    All failed items of a mapped step are one `Text`.
    """
    texts = []
    for failure in described_failures(with_sub_runs(status)):
        text = Text(f"\n{failure.headline}\n", style="red")
        for line in failure.details:
            text.append(f"  {line}\n", style="default")
        for traceback in failure.tracebacks:
            text.append(traceback, style="default")
        text.append(f"  log: {program()} logs {status.run_id} {quote(failure.log)}\n", style="dim")
        if failure.status is not None:
            command = f"{program()} status {status.run_id} --job {failure.status}"
            text.append(f"  all items: {command}\n", style="dim")
        texts.append(text)
    return texts


def _basis(plan: ExecutionPlan) -> str:
    runs = plan.estimate.runs if plan.estimate is not None else 0
    return f"from {counted(runs, 'earlier run')}"
