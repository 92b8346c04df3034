"""The runs of a proof: each part has one run after the other, and several parts run at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from flowyml_aws.client.launch import launch
from flowyml_aws.client.run import Run
from flowyml_aws.core.errors import FlowymlError, StepUnavailableError
from flowyml_aws.core.maps import item_name
from flowyml_aws.doctor.prove.observations import StageObservation
from flowyml_aws.doctor.prove.offers import PIPELINE, PartPlan, first_reason, request_of
from flowyml_aws.doctor.prove.scheduled import FIRING_LIMIT_S, ScheduledRun, schedule_run
from flowyml_aws.doctor.prove.shells import open_session
from flowyml_aws.doctor.prove.steps import CHILDREN
from flowyml_aws.submission.backend import JobState, ShellSession
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.record import RunState
from flowyml_aws.submission.status import RunStatus

__all__ = ["PartRuns", "run_parts"]

_CANCEL_LIMIT_S = 120.0

Say = Callable[[str], None]


@dataclass(slots=True)
class PartRuns:
    """The runs of a part so far.

    Attributes:
        stages: Runs that have ended.
        run_ids: Ids of all runs.
        problem: Reason why a run is missing, or empty.
        inputs: External inputs of the runs.
        schedule: Schedule that starts the run, or None.
        session: Id of the session that was opened in the job; None without one.
        no_session: Reason why no session was opened, or empty.
    """

    planned: PartPlan
    inputs: Mapping[str, Any] = field(default_factory=dict)
    stages: list[StageObservation] = field(default_factory=list)
    run_ids: list[str] = field(default_factory=list)
    problem: str = ""
    schedule: ScheduledRun | None = None
    session: str | None = None
    no_session: str = ""
    _driver: RunDriver | None = None
    _shown: str = ""

    @property
    def name(self) -> str:
        return self.planned.part.name

    @property
    def is_done(self) -> bool:
        """Return whether no further run will start."""
        return bool(self.problem) or len(self.stages) == len(self.planned.part.stages)

    @property
    def driver(self) -> RunDriver | None:
        """Driver of the run that has not ended, or None."""
        return self._driver

    def advance(self, token: str, say: Say) -> None:
        """Start the next run, or follow the current one."""
        if self._driver is None:
            try:
                self._driver = self._begin(token, say)
            except FlowymlError as error:
                self.problem = first_reason(error)
                say(f"{self.name}: {self.problem}")
            if self._driver is None:
                return
            self.run_ids.append(self._driver.record.run_id)
        # The run of a schedule is driven by its own job.
        status = self._driver.advance() if self.schedule is None else self._driver.status()
        shown = ", ".join(dict.fromkeys(view.state.value for view in status.jobs))
        if shown != self._shown:
            say(f"{self.name}: job is {shown}")
            self._shown = shown
        if self.planned.part.has_shell and self.session is None:
            self._open_session(self._driver, status)
        if self._has_ended(self._driver, status):
            self.stages.append(_observe(self._driver, status))
            self._driver, self._shown = None, ""
            if "look" in self.planned.part.stages[len(self.stages) - 1]:
                self._end_early(status)

    def _begin(self, token: str, say: Say) -> RunDriver | None:
        """Start the next run and return it; None while its schedule has not started it."""
        part = self.planned.part
        if self.schedule is not None:
            found = self.schedule.find()
            if found is None and time.time() > self.schedule.due + FIRING_LIMIT_S:
                self.problem = f"no run within {FIRING_LIMIT_S / 60:.0f} minutes after its time"
            return found
        say(f"{self.name}: run {len(self.stages) + 1} of {len(part.stages)}")
        request = request_of(part, len(self.stages), token, self.inputs)
        if not part.is_scheduled:
            return launch(request)
        self.schedule = schedule_run(request, f"{PIPELINE}-{token}", time.time())
        say(f"{self.name}: waiting for the time of the schedule")
        return None

    def _open_session(self, driver: RunDriver, status: RunStatus) -> None:
        """Open a session in the job if it runs."""
        (view,) = status.jobs
        if view.state is not JobState.RUNNING:
            return
        opened = open_session(driver.backend, view.job.name, view.job.backend)
        if isinstance(opened, ShellSession):
            self.session = opened.id
        elif not (self.no_session and isinstance(opened, StepUnavailableError)):
            self.no_session = first_reason(opened)  # at its end, the job is only unavailable

    def _has_ended(self, driver: RunDriver, status: RunStatus) -> bool:
        """Return whether a run has ended, and the job of a schedule that drives it."""
        if status.state is RunState.RUNNING or driver.awaits_bills:
            return False
        return self.schedule is None or not self.schedule.has_driver()

    def stop(self, problem: str) -> None:
        """Cancel the run that has not ended; its part has no further run."""
        self.problem = problem
        if self._driver is None and self.schedule is not None and not self.stages:
            self._driver = self.schedule.find()  # it may have started since the last poll
            self.run_ids += [] if self._driver is None else [self._driver.record.run_id]
        if self._driver is not None:
            self._driver.cancel()

    def has_stopped(self) -> bool:
        """Return whether the run that was cancelled has ended."""
        if self._driver is not None and self._has_ended(self._driver, self._driver.status()):
            self._driver = None
        return self._driver is None

    def _end_early(self, status: RunStatus) -> None:
        if status.state is not RunState.SUCCEEDED:
            self.problem = f"the first run has {status.state.value}"


def run_parts(
    runs: Sequence[PartRuns],
    token: str,
    say: Say,
    limit_s: float,
    clock: Callable[[], float],
    pause: Callable[[], None],
) -> None:
    """Run all parts to their ends. Runs that take longer than the limit are cancelled.

    On an interrupt (Ctrl-C), the runs are cancelled.

    Args:
        runs: Parts that can run.
        token: Random part of the values.
        say: Called with messages on the progress.
        limit_s: Longest time in seconds.
        clock: Monotonic clock in seconds.
        pause: Waits until the next poll.
    """
    end = clock() + limit_s
    with _cancelling(runs, say, clock):
        while active := [each for each in runs if not each.is_done]:
            for each in active:
                each.advance(token, say)
            if clock() > end:
                for each in active:
                    each.stop(f"it did not end within {limit_s / 60:.0f} minutes")
                _await_end(active, clock)
                return
            pause()


@contextmanager
def _cancelling(runs: Sequence[PartRuns], say: Say, clock: Callable[[], float]) -> Iterator[None]:
    """Cancel the runs that have not ended if the block fails or is interrupted."""
    try:
        yield
    except BaseException:
        if any(each.driver is not None for each in runs):
            say("cancelling the runs …")
        for each in runs:
            each.stop("it was cancelled")
        _await_end(runs, clock)
        raise


def _await_end(runs: Sequence[PartRuns], clock: Callable[[], float]) -> None:
    """Wait until cancelled runs have ended, so that no job writes after the clean-up."""
    end = clock() + _CANCEL_LIMIT_S
    while clock() < end:
        left = [each.driver for each in runs if not each.has_stopped()]
        if not left:
            return
        if left[0] is not None:
            left[0].backend.pause()


def _observe(driver: RunDriver, status: RunStatus) -> StageObservation:
    view = next((v for v in status.jobs if v.state is not JobState.SUCCEEDED), status.jobs[0])
    outputs = Run(driver).result().outputs
    children = (item_name("in_array", index) for index in range(CHILDREN))
    lines, _ = driver.backend.logs(view.job.name, None)
    return StageObservation(
        plan=driver.plan,
        view=view,
        facts=outputs.get("look"),
        children=tuple(outputs[name] for name in children if name in outputs),
        meeting=outputs.get("meet"),
        scheduled=outputs.get("scheduled"),
        data=outputs.get("read_data"),
        log=tuple(line.message for line in lines),
        bill=status.bills.get(view.job.name),
    )
