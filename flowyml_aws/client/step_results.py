"""Outcomes of the steps of a run; that of a mapped step is of all its items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from flowyml_aws.client.outputs import Outputs
from flowyml_aws.runtime.result import StepReport, StepState
from flowyml_aws.submission.map_progress import MapProgress
from flowyml_aws.submission.refs import RunRefs
from flowyml_aws.submission.status import RunStatus

__all__ = ["StepResult", "StepResults", "make_step_results"]


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


def make_step_results(
    status: RunStatus, outputs: Outputs, refs: RunRefs, first_assets: Mapping[str, str]
) -> StepResults:
    """Return the results of the steps of a run.

    Args:
        status: Status of the run.
        outputs: Stored values.
        refs: References to the stored values by asset, each read on access.
        first_assets: First output of each step whose first output is stored.
    """
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
