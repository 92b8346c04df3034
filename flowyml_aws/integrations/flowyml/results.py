"""What FlowyML calls the things that a run of ours tells: statuses, step results, the result."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flowyml.core.execution_status import ExecutionStatus
from flowyml.core.executor import ExecutionResult
from flowyml.core.pipeline import PipelineResult

from flowyml_aws.integrations.flowyml.outputs import RunOutputs
from flowyml_aws.result import PipelineResult as OurResult
from flowyml_aws.run import refs_of
from flowyml_aws.runtime.result import StepState
from flowyml_aws.submission.record import RunState
from flowyml_aws.submission.status import RunStatus, failures

__all__ = ["errors_of", "finished", "for_the_record", "run_status", "step_status"]

_RUN_STATUS = {
    RunState.RUNNING: ExecutionStatus.RUNNING,
    RunState.SUCCEEDED: ExecutionStatus.COMPLETED,
    RunState.FAILED: ExecutionStatus.FAILED,
    RunState.CANCELLED: ExecutionStatus.CANCELLED,
}
_STEP_STATUS = {
    StepState.WAITING: ExecutionStatus.INITIALIZING,
    StepState.RUNNING: ExecutionStatus.RUNNING,
    StepState.SUCCEEDED: ExecutionStatus.COMPLETED,
    StepState.FAILED: ExecutionStatus.FAILED,
    StepState.SKIPPED: ExecutionStatus.COMPLETED,  # as FlowyML counts those that it skips itself
    StepState.CACHED: ExecutionStatus.CACHED,
}
_DONE = (StepState.SUCCEEDED, StepState.SKIPPED, StepState.CACHED)


def run_status(state: RunState) -> ExecutionStatus:
    """FlowyML's word for the state of a run."""
    return _RUN_STATUS[state]


def step_status(state: StepState) -> ExecutionStatus:
    """FlowyML's word for the state of a step."""
    return _STEP_STATUS[state]


class StepOutcome(ExecutionResult):  # type: ignore[misc]  # FlowyML ships no types
    """FlowyML's result of a step, whose output is loaded when it is asked for."""

    def __init__(self, outputs: RunOutputs, **facts: Any) -> None:
        self._outputs = outputs
        super().__init__(**facts)

    @property
    def output(self) -> Any:
        """The value of its one output, or a dict by asset; None where nothing is stored."""
        is_stored = self.step_name in self._outputs
        return self._outputs[self.step_name] if is_stored else None

    @output.setter
    def output(self, value: Any) -> None:
        """The dataclass sets its default."""

    def __repr__(self) -> str:
        return f"StepOutcome({self.step_name!r}, success={self.success})"


def finished(result: OurResult, run_id: str) -> PipelineResult:
    """FlowyML's result of a run that has ended.

    Args:
        result: Ours.
        run_id: FlowyML's id of the run.
    """
    status, told = result.status, errors_of(result.status)
    outputs = RunOutputs(result.outputs, refs_of(status), _made(status).difference(result.outputs))
    found = PipelineResult(run_id, result.pipeline_name)
    found.finalize(success=result.success)
    if status.state is RunState.CANCELLED:
        found.state = ExecutionStatus.CANCELLED.value
    found.start_time = datetime.fromtimestamp(status.created_at)
    found.end_time = datetime.fromtimestamp(status.created_at + result.duration_seconds)
    found.duration_seconds = (found.end_time - found.start_time).total_seconds()
    found.remote_job_id = status.run_id
    found.outputs = outputs
    for name, step in result.step_results.items():
        report = status.steps[name]
        if report.state not in _DONE and name not in told:
            continue  # it never ran: FlowyML has no result for such a step either
        found.step_results[name] = StepOutcome(
            outputs,
            step_name=name,
            success=name not in told,
            error=told.get(name),
            duration_seconds=step.duration_seconds,
            cached=step.cached,
            skipped=step.skipped,
            artifact_uri=step.artifact_uri,
            retries=step.retries,
            timestamp=datetime.fromtimestamp(report.ended_at or status.created_at),
        )
    return found


def for_the_record(result: PipelineResult) -> PipelineResult:
    """A copy for FlowyML's record, which reads every output: with large ones as their location."""
    outputs = result.outputs
    copy = PipelineResult(result.run_id, result.pipeline_name)
    vars(copy).update(vars(result))
    copy.outputs = dict(outputs.items())
    copy.step_results = {
        name: ExecutionResult(
            step_name=name,
            success=step.success,
            output=copy.outputs.get(name),
            error=step.error,
            duration_seconds=step.duration_seconds,
            cached=step.cached,
            skipped=step.skipped,
            artifact_uri=step.artifact_uri,
            retries=step.retries,
            timestamp=step.timestamp,
        )
        for name, step in result.step_results.items()
    }
    return copy


def errors_of(status: RunStatus) -> Mapping[str, str]:
    """Return the error of each failed step, with the message first.

    If a job failed and no step caused it, the step that it had reached is named.
    """
    errors: dict[str, str] = {}
    for failure in failures(status):
        for name, cause in failure.steps.items():
            errors[name] = "\n".join(filter(None, [cause.message, cause.traceback]))
        if not failure.steps:
            cause_text = failure.failure.text if failure.failure is not None else ""
            text = f"job {failure.job} failed: {failure.reason}\n{cause_text}"
            errors[failure.step] = text.strip()
    return errors


def _made(status: RunStatus) -> set[str]:
    """Names of the steps that this run or an earlier one ran, and of their assets."""
    made = {name: step.produces for name, step in status.reused.items()}
    for view in status.jobs:
        made.update(view.job.produces)
    done = (StepState.SUCCEEDED, StepState.CACHED)
    return {
        name
        for step, assets in made.items()
        if status.steps[step].state in done
        for name in (step, *assets)
    }
