"""Terminal output of a replay."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from flowyml_aws.client.replay import Comparison, Replay
from flowyml_aws.planning.wording import time_text
from flowyml_aws.runtime.result import StepState
from flowyml_aws.view.fitted import Column, FittedTable

__all__ = ["replay_text", "value_text"]

_LONGEST = 60
_COMPARED = {True: "same", False: "different", None: "not stored"}


def replay_text(replay: Replay) -> RenderableType:
    """Return the outcome of a replay, with its outputs next to those of the run."""
    report = replay.outcome.report
    reason = f": {report.reason}" if report.reason else ""
    state = f"{report.state.value} after {time_text(report.duration_s)}{reason}"
    if report.state is StepState.WAITING:
        state = "not run, because a step before it failed"
    parts: list[RenderableType] = [Text(f"{replay.step}: {state}")]
    if (recorded := replay.recorded) is not None:
        duration = f" after {time_text(recorded.duration_s)}" if recorded.ended_at else ""
        parts.append(Text(f"in the run: {recorded.state.value}{duration}"))
    if before := replay.outcome.before:
        parts.append(Text(f"executed before it, because not stored: {', '.join(before)}"))
    if replay.outputs:
        table = FittedTable(
            (
                Column("output"),
                Column("type", rank=1),
                Column("value", rank=2),
                Column("compared with the run"),
            )
        )
        for output in replay.outputs:
            table.add_row(*map(Text, _cells(output)))
        parts.append(table)
    return Group(*parts)


def value_text(value: object) -> str:
    """Return the start of a value's representation, in one line."""
    try:
        text = " ".join(repr(value).split())
    except Exception as error:  # the user's code
        text = f"<{type(error).__name__} in its representation>"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _cells(output: Comparison) -> tuple[str, str, str, str]:
    kind = type(output.value).__qualname__
    return output.asset, kind, value_text(output.value), _COMPARED[output.is_same]
