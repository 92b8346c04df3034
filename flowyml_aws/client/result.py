"""Results of runs: success, steps and outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowyml_aws.core.amounts import usd
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.core.sheets import Sheet, ShownAsSheets
from flowyml_aws.core.visible import visible
from flowyml_aws.runtime.result import StepReport, StepState
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.cost_limit import limit_notes
from flowyml_aws.submission.logged import RunLogged
from flowyml_aws.submission.losses import LostAttempts, lost_text
from flowyml_aws.submission.missing_output import OutputNotFoundError
from flowyml_aws.submission.record import RunState
from flowyml_aws.submission.refs import RunRefs
from flowyml_aws.submission.status import (
    RunStatus,
    failures,
    gpu_notes,
    machine_notes,
    unbilled_notes,
    value_notes,
)
from flowyml_aws.submission.status_sheets import metrics_sheet, status_sheets

__all__ = ["OutputNotFoundError", "Outputs", "PipelineResult", "StepResult", "make_result"]


class Outputs(Mapping[str, Any]):
    """Values by asset name and by step name; each is loaded on access.

    A step's name returns the value of its only output, or a dict of its outputs.

    Only stored values are available: those that another group reads, those that no step reads,
    and the outputs of steps with an explicit `cache=`.
    """

    def __init__(
        self,
        names: Mapping[str, tuple[str, ...]],
        load: Callable[[str], Any],
        explain: Callable[[str], OutputNotFoundError],
    ) -> None:
        """Create the outputs of a run.

        Args:
            names: Stored assets, by asset and by step.
            load: Loads the value of an asset.
            explain: Returns the error for a name that is not stored.
        """
        self._names = names
        self._load = load
        self._explain = explain
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        values = {asset: self._value(asset) for asset in self.assets(name)}
        return values if len(values) > 1 else next(iter(values.values()))

    def assets(self, name: str) -> tuple[str, ...]:
        """Return the stored assets of an asset or a step.

        Raises:
            OutputNotFoundError: Nothing is stored under this name.
        """
        if name not in self._names:
            raise self._explain(name)
        return self._names[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def _value(self, asset: str) -> Any:
        if asset not in self._loaded:
            self._loaded[asset] = self._load(asset)
        return self._loaded[asset]


@dataclass(frozen=True, slots=True)
class StepResult:
    """The outcome of one step.

    Attributes:
        success: Whether the step succeeded, was skipped, or was taken from the cache.
        error: Traceback of the user's code, or None.
        outputs: Stored values of the whole run.
    """

    name: str
    success: bool
    error: str | None
    duration_seconds: float
    cached: bool
    skipped: bool
    retries: int
    outputs: Outputs
    _refs: RunRefs
    _first_asset: str | None

    @property
    def artifact_uri(self) -> str | None:
        """URI of the object with the first stored output, read on access; None if there is none."""
        return None if self._first_asset is None else self._refs[self._first_asset].uri

    @property
    def output(self) -> Any:
        """The step's value, loaded on access; None if it is not stored."""
        return self.outputs.get(self.name)


@dataclass(frozen=True, slots=True)
class PipelineResult(ShownAsSheets):
    """The outcome of a run. A failed step does not raise an error; check `success`.

    Attributes:
        state: `succeeded`, `failed`, `cancelled` or `running`.
        step_results: Results by step name.
        outputs: Values by asset and by step name.
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
    step_results: Mapping[str, StepResult]
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
        for report in self.status.steps.values():
            retries = f", {report.retries} retries" if report.retries else ""
            why = f" ({report.reason})" if report.reason else ""
            lines.append(
                f"  {report.name}: {report.state.value}, {report.duration_s:.2f} s{retries}{why}"
            )
        lines += (f"  {failure}" for failure in failures(self.status))
        blocked = (view for view in self.status.jobs if view.state is JobState.BLOCKED)
        lines += (f"  job {view.job.name} blocked: {view.reason}" for view in blocked)
        lines += (f"  {move}" for move in self.status.moves)
        if (line := lost_text(self.status.lost)) is not None:
            lines.append(f"  {line}")
        lines += (f"  {note}" for note in limit_notes(self.status))
        ended_at = self.status.created_at + self.duration_seconds
        lines += (f"  {note}" for note in gpu_notes(self.status, ended_at))
        lines += (f"  {note}" for note in machine_notes(self.status))
        lines += (f"  {note}" for note in value_notes(self.status))
        if (cost_usd := self.status.cost_usd) is not None:
            lines.append(f"  cost of the jobs without their start: {usd(cost_usd)}")
        for job, bill in self.status.bills.items():
            on = f" on {bill.instance_type}" if bill.instance_type else ""
            saved = f", {bill.saved:.0%} saved by spot capacity" if bill.is_spot else ""
            lines.append(f"  job {job} is billed for {bill.billed_s} s{on}{saved}")
        lines += (f"  {note}" for note in unbilled_notes(self.status))
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
                for step in self.step_results.values()
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
        step_results={
            name: _step_result(report, outputs, refs, first_assets.get(name))
            for name, report in status.steps.items()
        },
        outputs=outputs,
        refs=refs,
        logged=logged,
        duration_seconds=(status.ended_at or now) - status.created_at,
        status=status,
        report=report,
    )


def _step_result(
    report: StepReport,
    outputs: Outputs,
    refs: RunRefs,
    first_asset: str | None,
) -> StepResult:
    return StepResult(
        name=report.name,
        success=report.state in (StepState.SUCCEEDED, StepState.SKIPPED, StepState.CACHED),
        error=report.failure.text if report.failure else None,
        duration_seconds=report.duration_s,
        cached=report.state is StepState.CACHED,
        skipped=report.state is StepState.SKIPPED,
        retries=report.retries,
        outputs=outputs,
        _refs=refs,
        _first_asset=first_asset,
    )
