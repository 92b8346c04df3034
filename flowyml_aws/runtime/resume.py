"""Steps that need not run again because an earlier attempt of the job completed them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.core.maps import is_part
from flowyml_aws.runtime.result import AttemptEvents, StepReport, StepState
from flowyml_aws.runtime.spec import StepSpec

__all__ = ["done_before", "items_done_before"]

_DONE = {StepState.SUCCEEDED, StepState.CACHED, StepState.SKIPPED}


def done_before(
    steps: Sequence[StepSpec], earlier: Sequence[AttemptEvents]
) -> tuple[dict[str, StepReport], dict[str, ArtifactRef]]:
    """Return the reports of the steps that need not run again, and the refs that they stored.

    A completed step runs again if a later step needs a value of it that was not stored. A part of
    a map always runs again, after its items: it only stores lists of their outputs.

    Args:
        steps: Steps of the job, in running order.
        earlier: Events of earlier attempts, oldest first.
    """
    done, assets = _completed(earlier)
    for step in steps:
        if step.part is not None:
            done.pop(step.name, None)
    needed: set[str] = set()  # assets that the steps to run read
    for step in reversed(steps):
        report = done.get(step.name)
        unstored = set(step.outputs).difference(assets)
        wanted = needed.union(step.stored)
        if report is not None and report.state is not StepState.SKIPPED and unstored & wanted:
            del done[step.name]
        if step.name not in done:
            needed.update(_values_of(step))
    stored = {asset for step in steps if step.name in done for asset in step.stored}
    return done, {asset: ref for asset, ref in assets.items() if asset in stored}


def _values_of(step: StepSpec) -> Iterator[str]:
    """Yield the assets whose values a step reads. Of its decision, the reported case is enough."""
    for asset in step.reads:
        if step.branch is None or asset != step.branch.decision or asset in step.taken:
            yield asset


def items_done_before(
    earlier: Sequence[AttemptEvents],
) -> tuple[dict[str, StepReport], dict[str, ArtifactRef]]:
    """Return the completed items of the parts of maps, and all refs that were stored.

    `done_before` needs the items as steps, which only a job knows.

    Args:
        earlier: Events of earlier attempts, oldest first.
    """
    done, assets = _completed(earlier)
    return {name: report for name, report in done.items() if not is_part(name)}, assets


def _completed(
    earlier: Sequence[AttemptEvents],
) -> tuple[dict[str, StepReport], dict[str, ArtifactRef]]:
    """Return the latest reports of completed steps, and all refs that were stored."""
    done: dict[str, StepReport] = {}
    assets: dict[str, ArtifactRef] = {}
    for events in earlier:
        done.update({report.name: report for report in events.steps if report.state in _DONE})
        assets.update(events.assets)
    return done, assets
