"""Declaration of approvals as steps of a pipeline, and the mistakes in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from flowyml_aws.core.approvals import Approval
from flowyml_aws.core.errors import FlowymlError, InvalidStepError
from flowyml_aws.core.step import Step
from flowyml_aws.core.time_spans import TIME_UNITS, TimeSpan, seconds_of

__all__ = ["approval", "approval_problems"]


def approval(
    name: str = "approval",
    *,
    inputs: Sequence[str] | str = (),
    after: Sequence[str] | str = (),
    approver: str | None = None,
    timeout: TimeSpan = "7d",
    auto_approve_if: Callable[..., Any] | None = None,
) -> Step:
    """Return a step at which the run pauses until someone approves it.

    No job runs while the run only waits for it. Steps wait for it with `inputs=["NAME"]`, which
    gives them the value of its first input, or with `after=["NAME"]`. It is answered with
    `flowyml-aws approve RUN NAME`, or with `Run.approve` and `Run.reject`.

    Args:
        name: Name of the approval, and of its asset.
        inputs: Assets that the approval is about. The first one is its value.
        after: Assets or steps that it waits for without a value.
        approver: Person or team who should answer. It is shown, and not checked.
        timeout: Time after which the run fails without an answer, such as `"12h"`, or a number of
            seconds. It starts when everything that the approval waits for exists.
        auto_approve_if: Condition under which no one is asked. It takes assets and context values
            by name, and runs as the condition of an `If`: in the job that produces its inputs.

    Raises:
        InvalidStepError: An argument is invalid.
    """
    timeout_s = seconds_of(timeout)
    if timeout_s is None:
        raise _invalid(
            name,
            f"timeout={timeout!r}",
            f"it must be a number with a unit ({TIME_UNITS}), or a number of seconds above 0",
            'write for example timeout="12h"',
        )
    if approver is not None and (not isinstance(approver, str) or not approver):
        raise _invalid(
            name, f"approver={approver!r}", "it must be a name as a string", "write it, or omit it"
        )
    if auto_approve_if is not None and not callable(auto_approve_if):
        raise _invalid(
            name,
            f"auto_approve_if={auto_approve_if!r}",
            "it must be a function",
            "write for example auto_approve_if=lambda metrics: metrics > 0.9",
        )
    return Step(
        func=_first,
        name=name,
        inputs=(inputs,) if isinstance(inputs, str) else tuple(inputs),
        after=(after,) if isinstance(after, str) else tuple(after),
        cache=False,
        approval=Approval(timeout_s, approver, auto_approve_if),
    )


def approval_problems(steps: Sequence[Step]) -> Iterator[FlowymlError]:
    """Yield an error for each approval that can't be one, and for each wrong use of one.

    Args:
        steps: Steps of a pipeline.
    """
    approvals = {step.name: step for step in steps if step.approval is not None}
    if not approvals:
        return
    awaited = {name for step in steps for name in (*step.inputs, *step.after)}
    for name, step in approvals.items():
        decision = None if step.approval is None else step.approval.decision
        if not step.inputs and not set(step.after) - {decision}:
            yield InvalidStepError(
                what=f"Approval {name!r} waits for nothing",
                why="someone would be asked before there is anything to look at",
                fix=f'write approval("{name}", inputs=["ASSET"]), or after=["STEP"]',
            )
        if awaited.isdisjoint((name, *step.assets)):
            yield InvalidStepError(
                what=f"No step waits for approval {name!r}",
                why="the answer would change nothing",
                fix=f'add inputs=["{name}"] or after=["{name}"] to the steps that need it',
            )
        if step.branch is not None:
            yield InvalidStepError(
                what=f"Approval {name!r} is in a branch of {step.branch.decision!r}",
                why="an approval is never skipped",
                fix="add it to the pipeline with add_step, and let a step of the branch wait for "
                "it: no one is asked if that step is skipped",
            )
    producers = {asset: step for step in approvals.values() for asset in step.assets}
    for step in steps:
        for name in step.inputs:
            if name in producers and not producers[name].inputs:
                yield InvalidStepError(
                    what=f"Step {step.name!r} reads {name!r}, which has no value",
                    why="an approval has the value of its first input, and this one has no inputs",
                    fix=f'write after=["{name}"] in {step.name!r}, or add inputs to the approval',
                )
        mapped = () if step.mapping is None else step.mapping.over
        for name in producers.keys() & set(mapped):
            source = next(iter(producers[name].inputs), "LIST")
            yield InvalidStepError(
                what=f"Step {step.name!r} maps over approval {name!r}",
                why="the items of a map come from the step that produces the list",
                fix=f'map over {source!r}, and add after=["{name}"] to the step',
            )


def _first(*values: Any) -> Any:
    """Return the value of an approval; a stand-in, as no job runs it."""
    return values[0]


def _invalid(name: object, argument: str, why: str, fix: str) -> InvalidStepError:
    return InvalidStepError(
        what=f"Approval {name!r}: Invalid argument {argument}", why=why, fix=fix
    )
