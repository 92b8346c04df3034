from __future__ import annotations

import pytest

from flowyml_aws.planning.plan import PlannedApproval
from flowyml_aws.runtime.result import GpuIdle, StepFailure, StepReport, StepState
from flowyml_aws.runtime.summary import JobSummary
from flowyml_aws.submission.approvals import ApprovalState, ApprovalView
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.record import RunState
from flowyml_aws.submission.status import (
    ExpansionView,
    JobView,
    RunStatus,
    failures,
    gpu_notes,
)
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


@pytest.mark.parametrize(
    ("after", "state", "expected"),
    [(("search",), JobState.WAITING, True), ((), JobState.RUNNING, False)],
)
def test_a_run_waits_for_an_approval_in_a_sub_run_if_nothing_else_runs(
    after: tuple[str, ...], state: JobState, expected: bool
) -> None:
    planned = PlannedApproval(after=(), timeout_s=60.0)
    asked = ApprovalView("release", planned, ApprovalState.WAITING, ("deploy",), waits_s=0.0)
    deploy = JobView(a_job("deploy"), JobState.WAITING)
    inner = RunStatus("inner", "pipeline", "local", 0.0, (deploy,), approvals=(asked,))
    views = (
        JobView(a_job("search"), JobState.RUNNING),
        JobView(a_job("other", after), state),
    )
    expansion = ExpansionView("search", "inner", None, inner)
    outer = RunStatus("outer", "pipeline", "local", 0.0, views, expansions=(expansion,))
    assert inner.waits_for_approval
    assert outer.waits_for_approval is expected


def test_a_step_without_a_report_is_waiting() -> None:
    report = StepReport(name="fit", state=StepState.RUNNING, started_at=1.0)
    view = JobView(a_job("training", steps=("load", "fit")), JobState.RUNNING, 1, steps=(report,))
    status = RunStatus("run", "pipeline", "local", 0.0, (view,))
    assert list(status.steps) == ["load", "fit"]
    assert status.steps["load"].state is StepState.WAITING
    assert status.steps["fit"] == report


def test_a_result_decides_the_state_the_steps_and_the_reason_of_its_job() -> None:
    failure = StepFailure(kind="ValueError", message="no rows", traceback="Traceback …\n")
    report = StepReport(name="fit", state=StepState.FAILED, failure=failure)
    result = JobSummary(attempt=2, state="failed", started_at=1.0, ended_at=2.0, steps=(report,))
    view = JobView.of_result(a_job("training", steps=("fit",)), result, None)
    assert (view.state, view.attempt, view.steps) == (JobState.FAILED, 2, (report,))
    assert view.reason == "step 'fit': ValueError: no rows"


def test_a_failure_without_a_traceback_has_only_a_reason() -> None:
    reason = "Host EC2 terminated"
    report = StepReport(
        name="fit",
        state=StepState.FAILED,
        failure=StepFailure(kind="JobEnded", message=reason),
    )
    job = a_job("training", steps=("fit",))
    view = JobView(job, JobState.FAILED, 1, reason, (report,))
    (failure,) = failures(RunStatus("run", "pipeline", "local", 0.0, (view,)))
    assert str(failure) == "job training failed: Host EC2 terminated"
    assert failure.tracebacks == ()
    (silent,) = failures(RunStatus("r", "p", "local", 0.0, (JobView(job, JobState.FAILED),)))
    assert str(silent) == "job training failed: no reason was reported"
    assert silent.step == "fit"


@pytest.mark.parametrize(
    ("idle", "ended_at", "length"),
    [
        (GpuIdle(since=0.0), None, "15 min"),  # until now
        (GpuIdle(since=0.0, until=720.0), None, "12 min"),
        (GpuIdle(since=0.0), 660.0, "11 min"),  # until the end of the step
    ],
)
def test_a_step_that_does_not_use_its_gpus_has_a_note(
    idle: GpuIdle, ended_at: float | None, length: str
) -> None:
    report = StepReport(name="train", started_at=0.0, ended_at=ended_at, gpu_idle=idle)
    view = JobView(a_job("train"), JobState.RUNNING, 1, steps=(report,))
    status = RunStatus("run", "pipeline", "batch", 0.0, (view,))
    assert gpu_notes(status, now=900.0) == [f"GPU idle for {length} in step train"]
