"""A run at one moment, as the store and the backend tell it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flowyml_aws.planning.plan import PlannedJob, ReusedStep
from flowyml_aws.runtime.result import JobResult, StepReport, StepState
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.record import Bill, RunState

__all__ = ["JobView", "RunStatus"]


@dataclass(frozen=True, slots=True)
class JobView:
    """One job at one moment.

    Attributes:
        job: As planned.
        reason: Why it is in this state, where somebody said so.
        steps: The steps, as far as they have told.
        result: The commit, once it is there.
    """

    job: PlannedJob
    state: JobState
    attempt: int = 0
    reason: str | None = None
    steps: tuple[StepReport, ...] = ()
    result: JobResult | None = None


@dataclass(frozen=True, slots=True)
class RunStatus:
    """A run at one moment; its jobs are in plan order, `reused` are the steps in none of them.

    Attributes:
        bills: Of its jobs, once it has ended.
    """

    run_id: str
    pipeline: str
    backend: str
    created_at: float
    jobs: tuple[JobView, ...] = field(default=())
    reused: Mapping[str, ReusedStep] = field(default_factory=dict)
    ended_at: float | None = None
    bills: Mapping[str, Bill] = field(default_factory=dict)

    @property
    def state(self) -> RunState:
        """The run as a whole: it has ended when every job has."""
        states = {view.state for view in self.jobs}
        if not all(state.ended for state in states):
            return RunState.RUNNING
        if states & {JobState.FAILED, JobState.BLOCKED}:
            return RunState.FAILED
        return RunState.CANCELLED if JobState.CANCELLED in states else RunState.SUCCEEDED

    @property
    def steps(self) -> dict[str, StepReport]:
        """Each step by name; one that has not told anything is waiting."""
        told = {report.name: report for view in self.jobs for report in view.steps}
        waiting = {
            name: told.get(name) or StepReport(name=name, state=StepState.WAITING)
            for view in self.jobs
            for name in view.job.steps
        }
        return {**{name: _cached(name, step) for name, step in self.reused.items()}, **waiting}


def _cached(name: str, step: ReusedStep) -> StepReport:
    reason = f"run {step.run_id} made the same" if step.run_id else "nothing that runs needs it"
    return StepReport(name=name, state=StepState.CACHED, reason=reason)
