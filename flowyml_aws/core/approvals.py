"""Approvals: gates between steps that a person opens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Approval", "Gate"]


@dataclass(frozen=True, slots=True)
class Approval:
    """The rule of a step that a person opens, and that no job runs.

    Attributes:
        timeout_s: Seconds for which the run waits for an answer.
        approver: Person or team who should answer, for readers of the run; None for anyone.
        auto_approve_if: Condition that replaces the answer if it holds; None for no condition.
        decision: Step that evaluates the condition, in a pipeline whose steps are lowered.
    """

    timeout_s: float
    approver: str | None = None
    auto_approve_if: Callable[..., Any] | None = None
    decision: str | None = None


@dataclass(frozen=True, slots=True)
class Gate:
    """An approval between the steps of a graph that does not contain it.

    Attributes:
        rule: Timeout and approver.
        inputs: Assets to look at. The first one is the value of the approval.
        after: Steps that must have ended before someone is asked, in running order.
        approvals: Approvals that must be given before.
    """

    rule: Approval
    inputs: tuple[str, ...]
    after: tuple[str, ...]
    approvals: tuple[str, ...]
