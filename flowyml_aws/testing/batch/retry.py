"""Retry decisions of AWS Batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Outcome", "is_retried"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of an attempt.

    Attributes:
        status_reason: Status reason that Batch reports.
        exit_code: Exit code of the container; None if it never started or its host was lost.
        reason: ECS's reason for the container, for example `CannotStartContainerError: …`.
        is_final: Whether the attempt is never retried: a user or its timeout ended it.
    """

    status_reason: str
    exit_code: int | None = None
    reason: str | None = None
    is_final: bool = False


def is_retried(strategy: Mapping[str, Any], attempts_made: int, outcome: Outcome) -> bool:
    """Return True if a failed attempt is retried.

    The first matching rule of `evaluateOnExit` decides. All fields of a rule must match. If no rule
    matches, the job is retried (AWS Batch API reference, EvaluateOnExit).
    """
    if outcome.is_final or attempts_made >= int(strategy.get("attempts") or 1):
        return False
    values = {
        "onExitCode": "" if outcome.exit_code is None else str(outcome.exit_code),
        "onReason": outcome.reason or "",
        "onStatusReason": outcome.status_reason,
    }
    for rule in strategy.get("evaluateOnExit") or ():
        if all(_matches(rule[field], values[field]) for field in values if field in rule):
            return str(rule["action"]).upper() == "RETRY"
    return True


def _matches(pattern: str, value: str) -> bool:
    # Only an asterisk at the end is a wildcard. Actions are case-insensitive, patterns are not.
    return value.startswith(pattern[:-1]) if pattern.endswith("*") else value == pattern
