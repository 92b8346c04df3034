"""Conversion of the status and the result of a run to FlowyML's types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from flowyml.core.execution_status import ExecutionStatus
from flowyml.core.executor import ExecutionResult
from flowyml.core.pipeline import PipelineResult

from flowyml_aws.client.result import PipelineResult as OurResult
from flowyml_aws.core.shared_assets import shared_name
from flowyml_aws.integrations.flowyml.approvals import approval_reports
from flowyml_aws.integrations.flowyml.outputs import RunOutputs
from flowyml_aws.integrations.flowyml.sub_pipelines import is_in, sub_pipelines_in
from flowyml_aws.runtime.result import StepState
from flowyml_aws.submission.record import RunState
from flowyml_aws.submission.status import RunStatus, failures
from flowyml_aws.submission.whole_status import with_sub_runs

__all__ = ["error_of", "errors_of", "flowyml_result", "record_copy", "run_status", "step_status"]

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
    StepState.SKIPPED: ExecutionStatus.COMPLETED,  # same as FlowyML's own skipped steps
    StepState.CACHED: ExecutionStatus.CACHED,
    StepState.CANCELLED: ExecutionStatus.CANCELLED,
    StepState.NOT_RUN: ExecutionStatus.INITIALIZING,
}
_DONE = (StepState.SUCCEEDED, StepState.SKIPPED, StepState.CACHED)


def run_status(state: RunState) -> ExecutionStatus:
    """Return the FlowyML status for the state of a run."""
    return _RUN_STATUS[state]


def step_status(state: StepState) -> ExecutionStatus:
    """Return the FlowyML status for the state of a step."""
    return _STEP_STATUS[state]


class StepOutcome(ExecutionResult):  # type: ignore[misc]  # FlowyML ships no types
    """FlowyML result of a step, whose output is loaded on access."""

    def __init__(self, outputs: RunOutputs, **facts: Any) -> None:
        self._outputs = outputs
        super().__init__(**facts)

    @property
    def output(self) -> Any:
        """Value of its only output, or a dict by asset, or None if it is not stored."""
        is_stored = self.step_name in self._outputs
        return self._outputs[self.step_name] if is_stored else None

    @output.setter
    def output(self, value: Any) -> None:
        """Ignore the default that the dataclass sets."""

    def __repr__(self) -> str:
        return f"StepOutcome({self.step_name!r}, success={self.success})"


class SubPipelineOutcome(StepOutcome):
    """FlowyML result of a sub-pipeline, with its outputs by asset."""

    def __init__(self, outputs: RunOutputs, assets: Sequence[str], **facts: Any) -> None:
        self._assets = assets
        super().__init__(outputs, **facts)

    @property
    def output(self) -> Any:
        """Values of its stored outputs, by asset."""
        return {name: self._outputs[name] for name in self._assets if name in self._outputs}

    @output.setter
    def output(self, value: Any) -> None:
        """Ignore the default that the dataclass sets."""


def flowyml_result(
    result: OurResult,
    run_id: str,
    steps: Sequence[Any] = (),
    conditional: Mapping[str, bool] = MappingProxyType({}),
) -> PipelineResult:
    """Convert the result of a run that has ended to FlowyML's.

    Args:
        result: Result of the run.
        run_id: FlowyML's id of the run.
        steps: Steps of the FlowyML pipeline.
        conditional: Decisions (True), which FlowyML does not have, and steps of branches (False),
            for which it has no result if they did not run.
    """
    status, whole = result.status, with_sub_runs(result.status)
    errors = errors_of(whole)
    unstored = _produced(status).difference(result.outputs)
    decisions = {name for name, is_decision in conditional.items() if is_decision}
    outputs = RunOutputs(result.outputs, result.refs.read(), unstored, decisions)
    converted = PipelineResult(run_id, result.pipeline_name)
    converted.finalize(success=result.success)
    if status.state is RunState.CANCELLED:
        converted.state = ExecutionStatus.CANCELLED.value
    converted.start_time = datetime.fromtimestamp(status.created_at)
    converted.end_time = datetime.fromtimestamp(status.created_at + result.duration_seconds)
    converted.duration_seconds = (converted.end_time - converted.start_time).total_seconds()
    converted.remote_job_id = status.run_id
    converted.outputs = outputs
    reports = status.steps
    for name, step in result.step_results.items():
        report = reports[name]
        if report.state not in _DONE and name not in errors:
            continue  # FlowyML has no result for a step that never ran
        if name in decisions or (name in conditional and report.state is StepState.SKIPPED):
            continue
        converted.step_results[name] = StepOutcome(
            outputs,
            step_name=name,
            success=name not in errors,
            error=errors.get(name),
            duration_seconds=step.duration_seconds,
            cached=step.cached,
            skipped=step.skipped,
            artifact_uri=_as_in_flowyml(step.artifact_uri),
            retries=step.retries,
            timestamp=datetime.fromtimestamp(report.ended_at or status.created_at),
        )
    for name, report in approval_reports(status).items():
        if report.state not in _DONE and name not in errors:
            continue
        converted.step_results[name] = StepOutcome(
            outputs,
            step_name=name,
            success=name not in errors,
            error=errors.get(name),
            skipped=report.state is StepState.SKIPPED,
            timestamp=datetime.fromtimestamp(report.ended_at or status.created_at),
        )
    for name, report in whole.steps.items():
        if name in reports or (report.state not in _DONE and name not in errors):
            continue
        converted.step_results[name] = StepOutcome(
            outputs,
            step_name=name,
            success=name not in errors,
            error=errors.get(name),
            duration_seconds=report.duration_s,
            cached=report.state is StepState.CACHED,
            skipped=report.state is StepState.SKIPPED,
            retries=report.retries,
            timestamp=datetime.fromtimestamp(report.ended_at or status.created_at),
        )
    assets = {item.name: item.outputs for item in steps}
    for name, report in sub_pipelines_in(steps, reports).items():
        if report.state not in _DONE and report.state is not StepState.FAILED:
            continue
        converted.step_results[name] = SubPipelineOutcome(
            outputs,
            assets[name],
            step_name=name,
            success=report.state in _DONE,
            error=error_of(name, errors),
            duration_seconds=report.duration_s,
            cached=report.state is StepState.CACHED,
            skipped=report.state is StepState.SKIPPED,
            retries=report.retries,
            timestamp=datetime.fromtimestamp(report.ended_at or status.created_at),
        )
    return converted


def _as_in_flowyml(uri: str | None) -> str | None:
    """Return the location of a value; a file is a path, as in FlowyML's local store."""
    if uri is None or urlsplit(uri).scheme != "file":
        return uri
    return url2pathname(urlsplit(uri).path)


def record_copy(result: PipelineResult) -> PipelineResult:
    """Return a copy for FlowyML's record, with locations instead of large outputs."""
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

    A failure that no step caused is reported at the step that the job had reached.
    """
    errors: dict[str, str] = {}
    for failure in failures(status):
        for name, cause in failure.steps.items():
            errors[name] = "\n".join(filter(None, [cause.message, cause.traceback]))
        if not failure.steps:
            errors[failure.step] = "\n".join([str(failure), *failure.tracebacks]).strip()
    errors.update((view.name, view.refusal) for view in status.approvals if view.refusal)
    return errors


def error_of(name: str, errors: Mapping[str, str]) -> str | None:
    """Return the error of a step, or the first error in a sub-pipeline."""
    return next((text for step, text in errors.items() if step == name or is_in(step, name)), None)


def _produced(status: RunStatus) -> set[str]:
    """Return the names of the steps that this run or an earlier one executed, and their assets."""
    produced = {name: step.produces for name, step in status.reused.items()}
    for view in status.jobs:
        produced.update(view.job.produces)
    done, reports = (StepState.SUCCEEDED, StepState.CACHED), status.steps
    return {
        name
        for step, assets in produced.items()
        if reports[step].state in done
        for name in (step, *(shared_name(asset, step) or asset for asset in assets))
    }
