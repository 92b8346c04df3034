"""The runs of a proof: each part has one run after the other, and all parts run at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from flowyml_aws.client.launch import launch
from flowyml_aws.client.run import Run
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.core.maps import item_name
from flowyml_aws.doctor.prove.checks import StageObservation
from flowyml_aws.doctor.prove.offers import PartPlan, first_reason, request_of
from flowyml_aws.doctor.prove.steps import CHILDREN
from flowyml_aws.submission.backend import JobState
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
    """

    planned: PartPlan
    stages: list[StageObservation] = field(default_factory=list)
    run_ids: list[str] = field(default_factory=list)
    problem: str = ""
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
            say(f"{self.name}: run {len(self.stages) + 1} of {len(self.planned.part.stages)}")
            try:
                self._driver = launch(request_of(self.planned.part, len(self.stages), token))
            except FlowymlError as error:
                self.problem = first_reason(error)
                say(f"{self.name}: {self.problem}")
                return
            self.run_ids.append(self._driver.record.run_id)
        status = self._driver.advance()
        shown = ", ".join(dict.fromkeys(view.state.value for view in status.jobs))
        if shown != self._shown:
            say(f"{self.name}: job is {shown}")
            self._shown = shown
        if status.state is not RunState.RUNNING and not self._driver.awaits_bills:
            self.stages.append(_observe(self._driver, status))
            self._driver, self._shown = None, ""
            if "look" in self.planned.part.stages[len(self.stages) - 1]:
                self._end_early(status)

    def stop(self, problem: str) -> None:
        """Cancel the run that has not ended; its part has no further run."""
        self.problem = problem
        if self._driver is not None:
            self._driver.cancel()

    def has_stopped(self) -> bool:
        """Return whether the run that was cancelled has ended."""
        if self._driver is not None and self._driver.status().state is not RunState.RUNNING:
            self._driver = None
        return self._driver is None

    def _end_early(self, status: RunStatus) -> None:
        if status.state is not RunState.SUCCEEDED:
            self.problem = f"the first run has {status.state.value}"


def run_parts(
    runs: Sequence[PartRuns], token: str, say: Say, limit_s: float, clock: Callable[[], float]
) -> None:
    """Run all parts to their ends. Runs that take longer than the limit are cancelled.

    On an interrupt (Ctrl-C), the runs are cancelled.

    Args:
        runs: Parts that can run.
        token: Random part of the values.
        say: Called with messages on the progress.
        limit_s: Longest time in seconds.
        clock: Monotonic clock in seconds.
    """
    end = clock() + limit_s
    with _cancelling(runs, say, clock):
        while active := [each for each in runs if not each.is_done]:
            for each in active:
                each.advance(token, say)
            drivers = [each.driver for each in active if each.driver is not None]
            if clock() > end:
                for each in active:
                    each.stop(f"it did not end within {limit_s / 60:.0f} minutes")
                _await_end(active, clock)
                return
            if drivers:
                drivers[0].backend.pause()


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
        log=tuple(line.message for line in lines),
        bill=status.bills.get(view.job.name),
    )
