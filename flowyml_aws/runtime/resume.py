"""What an attempt need not do again, because an earlier attempt of the job has done it."""

from __future__ import annotations

from collections.abc import Sequence

from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.runtime.result import AttemptEvents, StepReport, StepState
from flowyml_aws.runtime.spec import StepSpec

__all__ = ["done_before"]

_DONE = {StepState.SUCCEEDED, StepState.CACHED, StepState.SKIPPED}


def done_before(
    steps: Sequence[StepSpec], earlier: Sequence[AttemptEvents]
) -> tuple[dict[str, StepReport], dict[str, ArtifactRef]]:
    """Reports of the steps that need not run again, and what they stored.

    A step that is done runs again where a later one needs a value of it that was not stored.

    Args:
        steps: Of the job, in running order.
        earlier: What earlier attempts told, the first one first.
    """
    done: dict[str, StepReport] = {}
    assets: dict[str, ArtifactRef] = {}
    for events in earlier:
        done.update({report.name: report for report in events.steps if report.state in _DONE})
        assets.update(events.assets)
    needed: set[str] = set()  # by steps that run
    for step in reversed(steps):
        report = done.get(step.name)
        lost = set(step.outputs).difference(assets)
        wanted = needed.union(step.stored)
        if report is not None and report.state is not StepState.SKIPPED and lost & wanted:
            del done[step.name]
        if step.name not in done:
            needed.update(step.reads)
    stored = {asset for step in steps if step.name in done for asset in step.stored}
    return done, {asset: ref for asset, ref in assets.items() if asset in stored}
