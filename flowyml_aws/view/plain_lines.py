"""Progress of a run as plain lines, for output that is not a terminal."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console

from flowyml_aws.runtime.idle_gpus import idle_length
from flowyml_aws.runtime.result import StepState
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.map_progress import MapProgress
from flowyml_aws.submission.map_rows import MapRow, status_rows
from flowyml_aws.submission.status import JobView, RunStatus

__all__ = ["PlainLines", "state_text"]

_OPEN = (StepState.WAITING, StepState.RUNNING)
_PARTS = 20


class PlainLines:
    """Progress output with one line for each change."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._printed: dict[str, str] = {}

    def print_changes(self, status: RunStatus) -> None:
        if status.outage is not None:
            self._print_change("AWS", status.outage)
        elif "AWS" in self._printed:
            self._print_change("AWS", "answers again")
        for move in status.moves:
            where = f"{'to' if move.repeats is None else 'again on'} {move.machine}: {move.reason}"
            self._print_change(f"job {move.job}, move {move.number}", where)
        for approval in status.approvals:
            if (note := approval.note(status.run_id)) is not None:
                self._print_change(f"approval {approval.name}", approval.state.value, note)
        for view in status_rows(status):
            if isinstance(view, MapRow):
                for each in view.steps:
                    self._print_map(each)
                continue
            if not view.state.ended:
                self._print_job(view)
            for report in status.reports_of(view):
                if report.gpu_idle is not None and report.gpu_idle.until is None:
                    since = str(report.gpu_idle.since)
                    text = f"idle for {idle_length(report.gpu_idle, time.time())}"
                    self._print_change(f"  step {report.name}, GPU", since, text)
                if report.state not in (StepState.WAITING, StepState.NOT_RUN):
                    duration = f" after {report.duration_s:.2f} s" if report.ended_at else ""
                    reason = f": {report.reason}" if report.reason else ""
                    state = f"{report.state.value}{reason}"
                    # The duration is rounded once the job has ended.
                    text = f"{report.state.value}{duration}{reason}"
                    self._print_change(f"  step {report.name}", state, text)
            if view.state.ended:
                self._print_job(view)

    def _print_map(self, progress: MapProgress) -> None:
        """Print a line on a map: at its start, its first failed item and its end.

        In between, a line is printed after each twentieth of its items.
        """
        total = len(progress.items)
        open_items = sum(progress.states.get(state, 0) for state in _OPEN)
        if progress.states.get(StepState.WAITING, 0) == total and not progress.jobs_text:
            return
        part = (total - open_items) * _PARTS // total if total else _PARTS
        key = f"{part} {bool(progress.failed)} {bool(open_items)} {bool(progress.jobs_text)}"
        text = ", ".join(filter(None, (progress.text, progress.jobs_text)))
        self._print_change(progress.step, key, text)

    def _print_job(self, view: JobView) -> None:
        waits = view.state is JobState.WAITING
        if waits and not view.reason and f"job {view.job.name}" in self._printed:
            return  # what it has waited for has just ended
        has_machine = view.machines and not waits and not view.is_skipped
        machine = f" on {view.machines}" if has_machine else ""
        attempt = f" (attempt {view.attempt})" if view.attempt > 1 else ""
        reason = f": {view.reason}" if view.reason else ""
        state = f"{state_text(view, view.job.after)}{attempt}{machine}{reason}"
        self._print_change(f"job {view.job.name}", state)

    def _print_change(self, subject: str, state: str, text: str | None = None) -> None:
        """Print a line if the state is not the last one that was printed for the subject."""
        if self._printed.get(subject) != state:
            self._printed[subject] = state
            line = f"{subject}: {text or state}"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def state_text(view: JobView, parents: Sequence[str]) -> str:
    """Return the state of a job; of a waiting one, with the jobs that it waits for."""
    if view.state is not JobState.WAITING or view.reason or not parents:
        return view.state_name
    more = f" and {len(parents) - 1} more" if parents[1:] else ""
    return f"{view.state.value} for {parents[0]}{more}"
