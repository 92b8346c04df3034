"""How a run goes, for a person: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from flowyml_aws.planning.plan import PlannedJob
from flowyml_aws.runtime.result import StepReport, StepState
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.status import JobView, RunStatus
from flowyml_aws.view.plan import reused_line
from flowyml_aws.view.program import program

if TYPE_CHECKING:
    from flowyml_aws.run import Run

__all__ = ["failures", "status_table", "watching"]

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
}


@contextmanager
def watching(run: Run, quiet: bool = False) -> Iterator[Callable[[RunStatus], None] | None]:
    """A watcher for `Run.wait` that tells on standard error how the run goes.

    A failure's traceback is told at the end.
    """
    if quiet:
        yield None
        return
    console = Console(stderr=True)
    last: list[RunStatus] = []
    console.print(f"run {run.id} on {run.plan.backend}: {_count(len(run.plan.jobs), 'job')}")
    if run.plan.reused:
        console.print(reused_line(run.plan), soft_wrap=True)
    if console.is_terminal:
        with Live(console=console, refresh_per_second=8, transient=False) as live:

            def show(status: RunStatus) -> None:
                last[:] = [status]
                live.update(status_table(status, time.time()))

            yield show
    else:
        lines = PlainLines(console)

        def say(status: RunStatus) -> None:
            last[:] = [status]
            lines.tell(status)

        yield say
    for status in last:
        for line in () if console.is_terminal else bills(status):  # the table has told them
            console.print(line, soft_wrap=True)
        # Unwrapped: paths and commands in it are there to be copied.
        console.print(*failures(status), sep="", soft_wrap=True)


def status_table(status: RunStatus, now: float) -> RenderableType:
    """Jobs with their steps: state, attempt, instance type, elapsed time."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("job / step", "state", "attempt", "on", "elapsed"):
        table.add_column(title, justify="right" if title == "elapsed" else "left")
    waits: list[Text] = []
    for view in status.jobs:
        state = Text(view.state.value, style=_JOB_STYLE.get(view.state, "dim"))
        attempt = str(view.attempt) if view.attempt else ""
        table.add_row(
            Text(view.job.name, style="bold"), state, attempt, _place(view.job), _elapsed(view, now)
        )
        if view.state in (JobState.WAITING, JobState.QUEUED) and view.reason:
            waits.append(Text(f"{view.job.name} waits: {view.reason}", style="yellow"))
        reports = {report.name: report for report in view.steps}
        for name in view.job.steps:
            report = reports.get(name) or StepReport(name=name)
            state = Text(report.state.value, style=_STEP_STYLE.get(report.state, "dim"))
            repeats = f"retry {report.retries}" if report.retries else ""
            table.add_row(f"  {name}", state, repeats, "", _step_elapsed(report, now))
    for name in status.reused:
        table.add_row(f"  {name}", Text("cached", style=_STEP_STYLE[StepState.CACHED]), "", "", "")
    took = (status.ended_at or now) - status.created_at
    return Group(
        table, *waits, *bills(status), Text(f"{status.state.value}, {took:.0f} s", style="dim")
    )


def bills(status: RunStatus) -> list[Text]:
    """What the jobs of a run that has ended are billed for, where their service tells."""
    told = status.bills.values()
    if not told:
        return []
    saved_s = sum(bill.ran_s - bill.billed_s for bill in told if bill.is_spot)
    saved = f", {saved_s} s less than they took on spot capacity" if saved_s > 0 else ""
    seconds = sum(bill.billed_s for bill in told)
    return [Text(f"SageMaker bills {_count(len(told), 'job')} for {seconds} s{saved}")]


def failures(status: RunStatus) -> list[Text]:
    """What to tell about each job that failed: its reason and the user's traceback."""
    told = []
    for view in status.jobs:
        if view.state is not JobState.FAILED:
            continue
        text = Text(f"\njob {view.job.name} failed: {view.reason}\n", style="red")
        reported = [report.failure for report in view.steps]
        reported.append(view.result.failure if view.result is not None else None)
        for failure in reported:
            # Of a process that was killed there is no traceback, only the reason.
            if failure is not None and failure.traceback.strip() != view.reason:
                text.append(failure.traceback, style="default")
        text.append(f"  its log: {program()} logs {status.run_id} {view.job.name}\n", style="dim")
        told.append(text)
    return told


class PlainLines:
    """A line for each change."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told: dict[str, str] = {}

    def tell(self, status: RunStatus) -> None:
        for view in status.jobs:
            if not view.state.ended:
                self._tell_job(view)
            for report in view.steps:
                if report.state is not StepState.WAITING:
                    took = f" after {report.duration_s:.2f} s" if report.ended_at else ""
                    why = f": {report.reason}" if report.reason else ""
                    self._once(f"  step {report.name}", f"{report.state.value}{took}{why}")
            if view.state.ended:
                self._tell_job(view)

    def _tell_job(self, view: JobView) -> None:
        place = f" on {view.job.instance_type}" if view.job.instance_type else ""
        attempt = f" (attempt {view.attempt})" if view.attempt > 1 else ""
        why = f": {view.reason}" if view.reason else ""
        self._once(f"job {view.job.name}", f"{view.state.value}{attempt}{place}{why}")

    def _once(self, subject: str, news: str) -> None:
        if self._told.get(subject) != news:
            self._told[subject] = news
            self._console.print(f"{subject}: {news}", markup=False, highlight=False, soft_wrap=True)


def _place(job: PlannedJob) -> str:
    if job.instance_type is None:
        return job.target
    return f"{job.instance_type} ({job.target})"


def _elapsed(view: JobView, now: float) -> str:
    starts = [report.started_at for report in view.steps if report.started_at is not None]
    if view.result is not None:
        return f"{view.result.ended_at - view.result.started_at:.1f} s"
    return f"{now - min(starts):.1f} s" if starts and not view.state.ended else ""


def _step_elapsed(report: StepReport, now: float) -> str:
    if report.started_at is None:
        return ""
    return f"{(report.ended_at or now) - report.started_at:.1f} s"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
