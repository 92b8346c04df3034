"""Views of a job whose dynamic step has returned a pipeline, until the pipeline has succeeded."""

from __future__ import annotations

from typing import Any

from flowyml_aws.planning.plan import InstanceOffer
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.runtime.result import StepFailure, StepReport, StepState
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.cost_limit import end_reason
from flowyml_aws.submission.expansions import ReturnedPipeline
from flowyml_aws.submission.record import CostLimit
from flowyml_aws.submission.status import ExpansionView, JobView

__all__ = ["cancelled_view", "failed_view", "running_view"]

_KIND = "PipelineFailed"


def running_view(
    returned: ReturnedPipeline, expansion: ExpansionView | None, ran_on: InstanceOffer | None
) -> JobView:
    """Return the view of the job while the sub-run continues: the step is running.

    Args:
        returned: The pipeline.
        expansion: Its sub-run; None before it has started.
        ran_on: Instance type that the job ran on.
    """
    reason = "its pipeline has not started yet" if expansion is None else expansion.progress
    steps = _steps(returned, state=StepState.RUNNING, ended_at=None, reason=reason)
    return _view(returned, JobState.RUNNING, reason, steps, ran_on)


def failed_view(
    returned: ReturnedPipeline, expansion: ExpansionView, ran_on: InstanceOffer | None
) -> JobView:
    """Return the view of the job after the sub-run has failed, or was refused.

    The step has the traceback of the first failure in it.

    Args:
        returned: The pipeline.
        expansion: Its sub-run, which has a failure.
        ran_on: Instance type that the job ran on.
    """
    reason = expansion.failure or "its pipeline did not succeed"
    inner = expansion.first_failure
    traceback = None if inner is None else next(iter(inner[1].tracebacks), None)
    failure = StepFailure(kind=_KIND, message=reason, traceback=traceback)
    steps = _steps(returned, state=StepState.FAILED, failure=failure)
    return _view(returned, JobState.FAILED, reason, steps, ran_on)


def cancelled_view(
    returned: ReturnedPipeline, reached: CostLimit | None, ran_on: InstanceOffer | None
) -> JobView:
    """Return the view of the job after the run was cancelled, or has reached its cost limit.

    Args:
        returned: The pipeline.
        reached: The cost limit that was reached; None if the run was cancelled.
        ran_on: Instance type that the job ran on.
    """
    if reached is None:
        message, cause = "the run was cancelled", Cause.CANCELLED
        failure = StepFailure(kind=_KIND, message=message, cause=cause)
        steps = _steps(returned, state=StepState.CANCELLED, failure=failure)
        return _view(returned, JobState.CANCELLED, None, steps, ran_on)
    reason = end_reason(reached)
    failure = StepFailure(kind=_KIND, message=reason, cause=Cause.COST_LIMIT)
    steps = _steps(returned, state=StepState.FAILED, failure=failure)
    return _view(returned, JobState.FAILED, reason, steps, ran_on)


def _steps(returned: ReturnedPipeline, **changes: Any) -> tuple[StepReport, ...]:
    """Return the reports of the job's steps with another report of the dynamic step."""
    return tuple(
        report.model_copy(update=changes) if report.name == returned.step else report
        for report in returned.summary.steps
    )


def _view(
    returned: ReturnedPipeline,
    state: JobState,
    reason: str | None,
    steps: tuple[StepReport, ...],
    ran_on: InstanceOffer | None,
) -> JobView:
    summary = returned.summary
    return JobView(returned.job, state, summary.attempt, reason, steps, summary, ran_on)
