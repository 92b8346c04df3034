"""Terminal output of a list of runs."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from flowyml_aws.client.listing import ListedRun
from flowyml_aws.core.amounts import usd
from flowyml_aws.planning.wording import time_text
from flowyml_aws.view.fitted import Column, FittedTable

__all__ = ["runs_table"]

_COLUMNS = (
    Column("run"),
    Column("pipeline", rank=3),
    Column("backend", rank=2),
    Column("state"),
    Column("started", rank=1),
    Column("duration", rank=2, is_number=True),
    Column("cost", rank=3, is_number=True),
)
_PART_OF = Column("part of")
_STYLE = {
    "succeeded": "green",
    "failed": "bold red",
    "cancelled": "yellow",
    "running": "cyan",
    "unreadable": "red",
}


def runs_table(runs: Sequence[ListedRun], now: float) -> RenderableType:
    """Return a table of runs, with local times and their zone.

    If some are sub-runs, a column names their run and step.

    Args:
        runs: Runs in the order of the rows.
        now: Seconds since the epoch.
    """
    has_parts = any(run.part_of is not None for run in runs)
    table = FittedTable((*_COLUMNS, _PART_OF) if has_parts else _COLUMNS)
    for run in runs:
        started = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(run.created_at))
        table.add_row(
            Text(run.run_id),
            Text(run.pipeline or ""),
            Text(run.backend or ""),
            _state(run),
            Text(started),
            _duration(run, now),
            "" if run.cost_usd is None else usd(run.cost_usd),
            *([run.part_of or ""] if has_parts else []),
        )
    return table


def _state(run: ListedRun) -> Text:
    if run.waits_for_approval:
        return Text("waiting for approval", style="yellow")
    text = Text(run.state, style=_STYLE.get(run.state, "dim"))
    if run.dropped:
        text.append(f", {run.dropped:,} dropped", style="yellow")
    return text


def _duration(run: ListedRun, now: float) -> str:
    if run.ended_at is None and run.state != "running":
        return ""
    return time_text((run.ended_at or now) - run.created_at)
