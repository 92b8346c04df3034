"""Results of runs: success, steps and outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from flowyml_aws.client.output_names import OutputNames
from flowyml_aws.core.amounts import counted, usd
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.core.sheets import Sheet, ShownAsSheets
from flowyml_aws.core.visible import visible
from flowyml_aws.planning.job_rows import job_rows
from flowyml_aws.runtime.result import StepReport, StepState
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.logged import RunLogged
from flowyml_aws.submission.losses import LostAttempts, lost_text
from flowyml_aws.submission.map_failures import described_failures
from flowyml_aws.submission.map_progress import MapProgress
from flowyml_aws.submission.missing_output import OutputNotFoundError
from flowyml_aws.submission.record import RunState
from flowyml_aws.submission.refs import RunRefs
from flowyml_aws.submission.status import (
    RunStatus,
    item_notes,
    machine_notes,
    value_notes,
)
from flowyml_aws.submission.status_sheets import metrics_sheet, status_sheets

__all__ = ["OutputNotFoundError", "Outputs", "PipelineResult", "StepResult", "make_result"]


class Outputs(Mapping[str, Any]):
    """Values by asset name and by step name; each is loaded on access.

    A step's name returns the value of its only output, or a dict of its outputs. The value of an
    asset of a mapped step is the list of the values of its items, without items that were dropped
    or skipped. `outputs["model[3]"]` is the value of one item; iteration leaves out items.

    Only stored values are available: those that another group reads, those that no step reads,
    and the outputs of steps with an explicit `cache=`.
    """

    def __init__(
        self,
        names: OutputNames,
        load: Callable[[Sequence[str]], Mapping[str, Any]],
        explain: Callable[[str], OutputNotFoundError],
    ) -> None:
        """Create the outputs of a run.

        Args:
            names: Names of the stored values.
            load: Loads the values of some assets.
            explain: Returns the error for a name that is not stored.
        """
        self._names = names
        self._load = load
        self._explain = explain
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        assets = self.assets(name)
        if new := [asset for asset in assets if asset not in self._loaded]:
            self._loaded.update(self._load(new))
        if name in self._names.lists:
            values = {
                asset: [self._loaded[item] for item in items]
                for asset, items in self._names.lists[name].items()
            }
        else:
            values = {asset: self._loaded[asset] for asset in assets}
        return values if len(values) > 1 else next(iter(values.values()))

    def assets(self, name: str) -> tuple[str, ...]:
        """Return the stored assets of an asset, a step or a list.

        Raises:
            OutputNotFoundError: Nothing is stored under this name.
        """
        if name in self._names.lists:
            return tuple(item for items in self._names.lists[name].values() for item in items)
        if name not in self._names.values:
            raise self._explain(name)
        return self._names.values[name]

    @property
    def number_of_assets(self) -> int:
        """Number of assets with stored values; all items of a mapped step's asset count once."""
        return self._names.assets

    def is_list(self, name: str) -> bool:
        """Return whether the value of a name is the list of the items of one asset."""
        return len(self._names.lists.get(name, ())) == 1

    def __iter__(self) -> Iterator[str]:
        return iter(self._names.listed)

    def __len__(self) -> int:
        return len(self._names.listed)

    def __contains__(self, name: object) -> bool:
        return name in self._names.values or name in self._names.lists


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


_DONE = (StepState.SUCCEEDED, StepState.SKIPPED, StepState.CACHED)


class StepResults(Mapping[str, StepResult]):
    """Results by step name. A mapped step has the result of all its items.

    `step_results["train[3]"]` is the result of one item; iteration leaves out items.
    """

    def __init__(
        self,
        results: Mapping[str, StepResult],
        items: Mapping[str, StepResult] = MappingProxyType({}),
    ) -> None:
        """Create the results of the steps of a run.

        Args:
            results: Results of the declared steps.
            items: Results of the items of mapped steps.
        """
        self._results, self.items_by_name = results, items

    def __getitem__(self, name: str) -> StepResult:
        result = self._results.get(name)
        return self.items_by_name[name] if result is None else result

    def __iter__(self) -> Iterator[str]:
        return iter(self._results)

    def __len__(self) -> int:
        return len(self._results)


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
            path. Takes the target file; `<run id>.html` in the current folder by default.
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
        lines += (f"  {line}" for line in _step_lines(self.status))
        lines += (f"  {note}" for note in item_notes(self.status))
        lines += (f"  {failure.headline}" for failure in described_failures(self.status))
        lines += (f"  {line}" for line in _blocked_lines(self.status))
        lines += (f"  {move}" for move in self.status.moves)
        if (line := lost_text(self.status.lost)) is not None:
            lines.append(f"  {line}")
        lines += (f"  {note}" for note in machine_notes(self.status))
        lines += (f"  {note}" for note in value_notes(self.status))
        if (cost_usd := self.status.cost_usd) is not None:
            lines.append(f"  cost of the jobs without their start: {usd(cost_usd)}")
        lines += (f"  {line}" for line in _bill_lines(self.status))
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
        step_results=_step_results(status, outputs, refs, first_assets),
        outputs=outputs,
        refs=refs,
        logged=logged,
        duration_seconds=(status.ended_at or now) - status.created_at,
        status=status,
        report=report,
    )


def _blocked_lines(status: RunStatus) -> Iterator[str]:
    """Yield a line on each blocked job, and one on all blocked jobs of a map."""
    blocked = {view.job.name: view for view in status.jobs if view.state is JobState.BLOCKED}
    for row in job_rows(view.job for view in blocked.values()):
        reason = blocked[row.first.name].reason
        yield f"job {row.title} blocked: {reason}"


def _bill_lines(status: RunStatus) -> Iterator[str]:
    """Yield a line on the bill of each job, and one on those of all jobs of a map."""
    for row in job_rows(view.job for view in status.jobs):
        bills = [status.bills[job.name] for job in row.jobs if job.name in status.bills]
        if len(bills) > 1:
            seconds = sum(bill.billed_s for bill in bills)
            yield f"{row.title}: {counted(len(bills), 'job')} are billed for {seconds} s"
        for bill in bills if len(bills) == 1 else ():
            on = f" on {bill.instance_type}" if bill.instance_type else ""
            saved = f", {bill.saved:.0%} saved by spot capacity" if bill.is_spot else ""
            yield f"job {row.title} is billed for {bill.billed_s} s{on}{saved}"


def _step_lines(status: RunStatus) -> Iterator[str]:
    """Yield a line on each declared step."""
    progress = status.progress
    map_of = {item.report.name: each for each in progress.values() for item in each.items}
    shown: set[str] = set()
    for report in status.steps.values():
        if (of_map := map_of.get(report.name)) is None:
            retries = f", {report.retries} retries" if report.retries else ""
            why = f" ({report.reason})" if report.reason else ""
            yield f"{report.name}: {report.state.value}, {report.duration_s:.2f} s{retries}{why}"
        elif of_map.step not in shown:
            shown.add(of_map.step)
            seconds = sum(item.report.duration_s for item in of_map.items)
            number = sum(item.report.retries for item in of_map.items)
            retries = f", {number:,} retries" if number else ""
            yield f"{of_map.step}: {of_map.text}, {seconds:.2f} s in total{retries}"


def _step_results(
    status: RunStatus, outputs: Outputs, refs: RunRefs, first_assets: Mapping[str, str]
) -> StepResults:
    progress = status.progress
    map_of = {item.report.name: each for each in progress.values() for item in each.items}
    results: dict[str, StepResult] = {}
    items: dict[str, StepResult] = {}
    for name, report in status.steps.items():
        result = _step_result(report, outputs, refs, first_assets.get(name))
        if name not in map_of:
            results[name] = result
            continue
        items[name] = result
        step = map_of[name].step
        if step not in results:
            results[step] = _map_result(map_of[name], outputs, refs)
    return StepResults(results, items)


def _map_result(progress: MapProgress, outputs: Outputs, refs: RunRefs) -> StepResult:
    """Return the result of all items of a mapped step."""
    reports = [item.report for item in progress.items]
    bad = [item for item in progress.items if item.report.state not in _DONE]
    failure = next((item.report.failure for item in progress.failed), None)
    return StepResult(
        name=progress.step,
        success=all(item.is_dropped for item in bad) and not progress.has_too_few,
        error=failure.text if failure else None,
        duration_seconds=sum(report.duration_s for report in reports),
        cached=all(report.state is StepState.CACHED for report in reports),
        skipped=all(report.state is StepState.SKIPPED for report in reports),
        retries=sum(report.retries for report in reports),
        outputs=outputs,
        _refs=refs,
        _first_asset=None,
    )


def _step_result(
    report: StepReport,
    outputs: Outputs,
    refs: RunRefs,
    first_asset: str | None,
) -> StepResult:
    return StepResult(
        name=report.name,
        success=report.state in _DONE,
        error=report.failure.text if report.failure else None,
        duration_seconds=report.duration_s,
        cached=report.state is StepState.CACHED,
        skipped=report.state is StepState.SKIPPED,
        retries=report.retries,
        outputs=outputs,
        _refs=refs,
        _first_asset=first_asset,
    )
