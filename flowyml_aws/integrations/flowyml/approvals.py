"""Conversion of FlowyML's approvals, and their states for its record and its results.

FlowyML's `ApprovalStep` has neither inputs nor outputs: it pauses the pipeline at its place. So it
waits for all steps that are declared before it, and all steps after it wait for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from flowyml_aws.core.approval_steps import approval
from flowyml_aws.core.step import Step
from flowyml_aws.core.sub_pipelines import DeclaredPipeline, SubPipeline
from flowyml_aws.runtime.result import StepFailure, StepReport, StepState
from flowyml_aws.submission.approvals import ApprovalState, ApprovalView
from flowyml_aws.submission.status import RunStatus

__all__ = ["approval_of", "approval_reports", "is_approval", "unasked_reports", "with_waits"]

_STATES = {
    ApprovalState.NOT_REACHED: StepState.WAITING,
    ApprovalState.WAITING: StepState.RUNNING,
    ApprovalState.APPROVED: StepState.SUCCEEDED,
    ApprovalState.REJECTED: StepState.FAILED,
    ApprovalState.TIMED_OUT: StepState.FAILED,
    ApprovalState.NOT_NEEDED: StepState.SKIPPED,
}


def is_approval(item: Any) -> bool:
    """Return whether an item of a FlowyML pipeline is an approval."""
    return any(base.__name__ == "ApprovalStep" for base in type(item).__mro__)


def approval_of(item: Any) -> Step:
    """Convert a FlowyML approval, which waits for nothing yet.

    Args:
        item: A `flowyml.ApprovalStep`.

    Raises:
        InvalidStepError: Its timeout or its approver is invalid.
    """
    return approval(
        str(item.name),
        approver=item.approver,
        timeout=item.timeout_seconds,
        auto_approve_if=item.auto_approve_if,
    )


def with_waits(steps: Sequence[Step | SubPipeline]) -> list[Step | SubPipeline]:
    """Return steps in declaration order with the steps and approvals that they wait for.

    A step after an approval that one before it needs does not wait for the approval.

    Args:
        steps: Steps and sub-pipelines. All steps of a sub-pipeline wait for an approval before it,
            and the steps after a sub-pipeline with an approval wait for the whole sub-pipeline.
    """
    found: list[Step | SubPipeline] = []
    last: str | None = None
    before: set[str] = set()
    for position, step in enumerate(steps):
        if isinstance(step, Step) and step.approval is not None:
            needed = _with_ancestors(steps[:position], steps)
            names = [each.name for each in steps if each.name in needed]
            found.append(replace(step, after=tuple(names)))
            last, before = step.name, needed
            continue
        awaited = () if last is None or step.name in before else (last,)
        found.append(replace(step, after=(*step.after, *awaited)))
        if isinstance(step, SubPipeline) and _has_approval(step.pipeline):
            last, before = step.name, _with_ancestors(steps[: position + 1], steps)
    return found


def approval_reports(status: RunStatus) -> dict[str, StepReport]:
    """Return a report of each approval of a run as if it were a step, by name."""
    return {view.name: _report(view) for view in status.approvals}


def unasked_reports(items: Iterable[Any]) -> dict[str, StepReport]:
    """Return a report of each approval as if no step after it runs, by name.

    Args:
        items: Items of a FlowyML pipeline.
    """
    names = [str(item.name) for item in items if is_approval(item)]
    reason = "no step after it runs"
    return {n: StepReport(name=n, state=StepState.SKIPPED, reason=reason) for n in names}


def _report(view: ApprovalView) -> StepReport:
    refusal = view.refusal
    return StepReport(
        name=view.name,
        state=_STATES[view.state],
        reason=None if view.answer is None else str(view.answer),
        ended_at=None if view.answer is None else view.answer.answered_at,
        failure=None if refusal is None else StepFailure(kind="Approval", message=refusal),
    )


def _has_approval(pipeline: DeclaredPipeline) -> bool:
    return any(step.approval is not None for step in pipeline.steps) or any(
        _has_approval(sub.pipeline) for sub in pipeline.sub_pipelines
    )


def _with_ancestors(
    some: Sequence[Step | SubPipeline], steps: Sequence[Step | SubPipeline]
) -> set[str]:
    """Return the names of some steps and sub-pipelines, and of all that they need."""
    by_name: Mapping[str, Step | SubPipeline] = {step.name: step for step in steps}
    producers = {asset: step.name for step in steps for asset in _assets_of(step)}
    names: set[str] = set()
    waiting = [step.name for step in some]
    while waiting:
        name = waiting.pop()
        if name in names:
            continue
        names.add(name)
        step = by_name[name]
        needed = (producers.get(each, each) for each in (*_inputs_of(step), *step.after))
        waiting += (each for each in needed if each in by_name)
    return names


def _inputs_of(step: Step | SubPipeline) -> Iterable[str]:
    return step.inputs if isinstance(step, Step) else (*step.inputs, *step.input_mapping)


def _assets_of(step: Step | SubPipeline) -> Iterable[str]:
    if isinstance(step, Step):
        return step.assets
    return (*step.outputs, *step.output_mapping.values())
