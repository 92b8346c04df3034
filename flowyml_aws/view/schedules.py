"""Terminal output of schedules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from rich.table import Table

from flowyml_aws.core.amounts import counted, usd

if TYPE_CHECKING:
    from flowyml_aws.client.schedules import ListedSchedule, NewSchedule

__all__ = ["moment_text", "schedule_lines", "schedule_table"]


def moment_text(moment: float, zone: str) -> str:
    """Format a time in a time zone: `2026-11-30 06:00 Europe/Berlin`."""
    return f"{datetime.fromtimestamp(moment, ZoneInfo(zone)):%Y-%m-%d %H:%M} {zone}"


def schedule_lines(schedule: NewSchedule) -> Iterator[str]:
    """Yield lines on the times and the cost of a schedule that is not created yet."""
    times = [moment_text(moment, schedule.times.zone) for moment in schedule.next_times(3)]
    yield f"schedule {schedule.name}: {schedule.times.expression}"
    yield f"next times: {', '.join(times) or 'none'}"
    runs = counted(schedule.runs_per_month, "run")
    if schedule.run_usd is None or schedule.month_usd is None:
        yield f"cost: unknown, because no earlier run shows it; {runs} in 30 days"
    else:
        month = usd(schedule.month_usd)
        yield f"cost: about {usd(schedule.run_usd)} per run, {month} for {runs} in 30 days"
    limit = schedule.plan.max_cost_usd
    if limit is not None:
        most = usd(limit * schedule.runs_per_month)
        yield f"limit: {usd(limit)} per run (max_cost_usd), {most} in 30 days, without drivers"
    queue, price = schedule.driver.queue, schedule.driver.price_usd_hour
    priced = "at an unknown price" if price is None else f"{usd(price)} per hour"
    yield f"a small job on queue {queue!r} starts and drives each run ({priced})"
    yield "every step is executed in each run; a time is skipped if the last run has not ended"


def schedule_table(schedules: Sequence[ListedSchedule]) -> Table:
    """Return a table of schedules with their next time and their last run."""
    table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
    for title in ("schedule", "times", "next", "last run", "state"):
        table.add_column(title, no_wrap=True)
    for each in schedules:
        following = "" if each.next_time is None else moment_text(each.next_time, each.times.zone)
        state = each.state or ""
        if each.skipped:
            state += f", {counted(each.skipped, 'time')} skipped"
        table.add_row(
            each.name,
            each.times.expression,
            following if each.is_enabled else "paused",
            each.last_run or "",
            state,
        )
    return table
