"""Results of runs: success, steps and outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowyml_aws.client.outputs import Outputs
from flowyml_aws.client.step_results import StepResult, StepResults, make_step_results
from flowyml_aws.client.summary import summary_lines
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.core.sheets import Sheet, ShownAsSheets
from flowyml_aws.core.visible import visible
from flowyml_aws.submission.logged import RunLogged
from flowyml_aws.submission.losses import LostAttempts
from flowyml_aws.submission.missing_output import OutputNotFoundError
from flowyml_aws.submission.record import RunState
from flowyml_aws.submission.refs import RunRefs
from flowyml_aws.submission.status import RunStatus
from flowyml_aws.submission.status_sheets import metrics_sheet, status_sheets

__all__ = ["OutputNotFoundError", "Outputs", "PipelineResult", "StepResult", "make_result"]


@dataclass(frozen=True, slots=True)
class PipelineResult(ShownAsSheets):
    """The outcome of a run. A failed step does not raise an error; check `success`.

    Attributes:
        state: `succeeded`, `failed`, `cancelled` or `running`.
        step_results: Results by step name; that of a mapped step is of all its items.
        outputs: Values by asset and by step name; lists for the assets of mapped steps.
        refs: References to the stored values by asset, each read from the store on access.
        logged: Logged values by step: metrics as series, images, tables and strings. A cached step
            has those of the run that executed it. They are read from the store on first access.
        status: Status that the result was made from.
        report: Writes the report of the run, one HTML page that needs no server, and returns its
            path. Takes the target file, `<run id>.html` in the current folder by default, and
            `compare`: another run or its id.
    """

    run_id: str
    pipeline_name: str
    success: bool
    state: str
    step_results: StepResults
    outputs: Outputs
    refs: RunRefs
    logged: RunLogged
    duration_seconds: float
    status: RunStatus
    report: Callable[..., Path]

    def __getitem__(self, name: str) -> Any:
        return self.outputs[name]

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        """Last value of each metric, by step and by name; `logged` has the series."""
        return self.logged.metrics

    @property
    def lost_attempts(self) -> LostAttempts:
        """Number and cost of the attempts that were lost; `status.lost` has those of each job."""
        return self.status.lost_attempts

    def summary(self) -> str:
        """Return a summary of a few lines."""
        lines = [
            f"Pipeline: {self.pipeline_name}",
            f"Run: {self.run_id}",
            f"State: {self.state}",
            f"Duration: {self.duration_seconds:.2f} s",
            "Steps:",
        ]
        ended_at = self.status.created_at + self.duration_seconds
        lines += (f"  {line}" for line in summary_lines(self.status, ended_at))
        return visible("\n".join(lines))

    def _sheets(self) -> list[Sheet]:
        sheets = status_sheets(self.status, self.status.created_at + self.duration_seconds)
        with suppress(FlowymlError, OSError):  # the status can be shown without the store
            sheets.append(metrics_sheet(self.metrics))
        return sheets

    def to_dict(self) -> dict[str, Any]:
        """Return everything except the values, as JSON-compatible data."""
        self.refs.read()
        return {
            "run_id": self.run_id,
            "pipeline_name": self.pipeline_name,
            "success": self.success,
            "state": self.state,
            "duration_seconds": self.duration_seconds,
            "steps": {
                step.name: {
                    "success": step.success,
                    "error": step.error,
                    "duration_seconds": step.duration_seconds,
                    "cached": step.cached,
                    "skipped": step.skipped,
                    "retries": step.retries,
                    "artifact_uri": step.artifact_uri,
                }
                for results in (self.step_results, self.step_results.items_by_name)
                for step in results.values()
            },
            "metrics": self.metrics,
            "lost": self.lost_attempts.model_dump(mode="json"),
            "moves": [move.model_dump(mode="json") for move in self.status.moves],
            "bills": {job: bill.model_dump(mode="json") for job, bill in self.status.bills.items()},
            "unbilled": list(self.status.unbilled),
        }


def make_result(
    status: RunStatus,
    outputs: Outputs,
    refs: RunRefs,
    logged: RunLogged,
    first_assets: Mapping[str, str],
    now: float,
    report: Callable[..., Path],
) -> PipelineResult:
    """Return the result of a run at one moment.

    Args:
        status: Status of the run.
        outputs: Stored values.
        refs: References to the stored values by asset, each read on access.
        logged: Logged values by step, read on access.
        first_assets: First output of each step whose first output is stored.
        now: Seconds since the epoch, used if the run has not ended.
        report: Writes the report of the run.
    """
    return PipelineResult(
        run_id=status.run_id,
        pipeline_name=status.pipeline,
        success=status.state is RunState.SUCCEEDED,
        state=status.state.value,
        step_results=make_step_results(status, outputs, refs, first_assets),
        outputs=outputs,
        refs=refs,
        logged=logged,
        duration_seconds=(status.ended_at or now) - status.created_at,
        status=status,
        report=report,
    )
