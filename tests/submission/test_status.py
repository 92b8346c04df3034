from __future__ import annotations

import pytest

from flowyml_aws.runtime.result import StepReport, StepState
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.record import RunState
from flowyml_aws.submission.status import JobView, RunStatus
from tests.support.plans import a_job


def a_status(*states: JobState) -> RunStatus:
    views = tuple(JobView(a_job(f"job-{number}"), state) for number, state in enumerate(states))
    return RunStatus("run", "pipeline", "local", 0.0, views)


@pytest.mark.parametrize("state", [state for state in JobState if not state.ended])
def test_a_run_is_running_while_one_of_its_jobs_has_not_ended(state: JobState) -> None:
    status = a_status(JobState.SUCCEEDED, JobState.FAILED, state)
    assert status.state is RunState.RUNNING


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([JobState.SUCCEEDED, JobState.SUCCEEDED], RunState.SUCCEEDED),
        ([JobState.SUCCEEDED, JobState.FAILED, JobState.BLOCKED], RunState.FAILED),
        ([JobState.SUCCEEDED, JobState.CANCELLED], RunState.CANCELLED),
        ([JobState.FAILED, JobState.CANCELLED], RunState.FAILED),
    ],
)
def test_a_run_has_the_worst_state_of_its_jobs(states: list[JobState], expected: RunState) -> None:
    assert a_status(*states).state is expected


def test_a_step_without_a_report_is_waiting() -> None:
    report = StepReport(name="fit", state=StepState.RUNNING, started_at=1.0)
    view = JobView(a_job("training", steps=("load", "fit")), JobState.RUNNING, 1, steps=(report,))
    status = RunStatus("run", "pipeline", "local", 0.0, (view,))
    assert list(status.steps) == ["load", "fit"]
    assert status.steps["load"].state is StepState.WAITING
    assert status.steps["fit"] == report
