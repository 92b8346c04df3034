"""Terminal output of the costs of an account."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from flowyml_aws.client.costs import AccountCosts
from flowyml_aws.core.amounts import counted, usd
from flowyml_aws.submission.billing import ReconciledCost
from flowyml_aws.submission.costs import CostKey, CostRow
from flowyml_aws.view.fitted import Column, FittedTable

__all__ = ["costs_table", "reconciled_table"]

_NUMBERS = (
    Column("predicted", rank=1, is_number=True),
    Column("counted", is_number=True),
    Column("difference", rank=2, is_number=True),
)


def costs_table(costs: AccountCosts, by: CostKey) -> RenderableType:
    """Return a table of costs by key, with their total and notes on what is missing.

    Args:
        costs: The costs.
        by: Key of the rows.
    """
    table = FittedTable((Column(by.value), Column("runs", rank=3, is_number=True), *_NUMBERS))
    total = costs.total
    for row in (*costs.by(by), total):
        style = "bold" if row is total else ""
        table.add_row(
            Text(row.key, style=style),
            Text(f"{row.runs:,}", style=style),
            Text(_predicted(row), style=style),
            Text(f"{'' if not row.uncounted else '≥ '}{usd(row.counted_usd)}", style=style),
            Text(_percent(row.difference), style=style),
        )
    return Group(table, *(Text(note, style="dim") for note in _notes(costs, total)))


def reconciled_table(rows: Sequence[ReconciledCost]) -> RenderableType:
    """Return a table of predicted, counted and billed costs by day and instance family."""
    table = FittedTable(
        (
            Column("day"),
            Column("family"),
            *_NUMBERS[:2],
            Column("billed", is_number=True),
            Column("difference", is_number=True),
        )
    )
    for row in rows:
        table.add_row(
            row.day.isoformat(),
            Text(row.family),
            _amount(row.predicted_usd),
            _amount(row.counted_usd),
            usd(row.billed_usd),
            _percent(row.difference),
        )
    return table


def _notes(costs: AccountCosts, total: CostRow) -> list[str]:
    notes = []
    if total.unpredicted:
        jobs = counted(total.unpredicted, "job")
        notes.append(f"{jobs} had no predicted cost: no earlier run of their steps was known")
    if total.uncounted:
        notes.append(f"the price of {counted(total.uncounted, 'job')} is unknown")
    if costs.free:
        notes.append(f"{counted(costs.free, 'run')} on this machine cost nothing")
    if costs.unknown:
        more = f" and {len(costs.unknown) - 1} more" if costs.unknown[1:] else ""
        notes.append(
            f"not counted, because their end is not recorded: {costs.unknown[0]}{more}; "
            "`flowyml-aws status RUN` asks the services"
        )
    notes.append(
        "predicted costs include the starts of machines, counted ones do not; `--billed` compares "
        "with the bill of AWS"
    )
    return notes


def _predicted(row: CostRow) -> str:
    return (
        ""
        if not row.predicted_usd
        else f"{'≥ ' if row.unpredicted else ''}{usd(row.predicted_usd)}"
    )


def _amount(amount: float | None) -> str:
    return "" if amount is None else usd(amount)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:+.0f} %"
