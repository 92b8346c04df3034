"""Whether AWS Batch tries a job again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Outcome", "is_retried"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended.

    Attributes:
        status_reason: What Batch says about it.
        exit_code: The container's; None when it never started or its host was lost.
        reason: What ECS says of the container, for example `CannotStartContainerError: …`.
        is_final: Ended by the user or by its timeout: never tried again.
    """

    status_reason: str
    exit_code: int | None = None
    reason: str | None = None
    is_final: bool = False


def is_retried(strategy: Mapping[str, Any], attempts_made: int, outcome: Outcome) -> bool:
    """Whether a failed attempt is followed by another one.

    The first rule of `evaluateOnExit` that matches decides; the fields of a rule must all match;
    when none matches, the job is retried (AWS Batch API reference, EvaluateOnExit).
    """
    if outcome.is_final or attempts_made >= int(strategy.get("attempts") or 1):
        return False
    seen = {
        "onExitCode": "" if outcome.exit_code is None else str(outcome.exit_code),
        "onReason": outcome.reason or "",
        "onStatusReason": outcome.status_reason,
    }
    for rule in strategy.get("evaluateOnExit") or ():
        if all(_matches(rule[field], seen[field]) for field in seen if field in rule):
            return str(rule["action"]).upper() == "RETRY"
    return True


def _matches(pattern: str, text: str) -> bool:
    # Only an asterisk at the end is a wildcard. The action ignores case, the patterns do not.
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern
