from __future__ import annotations

import io
from datetime import date
from typing import Any

from rich.console import RenderableType

from flowyml_aws.client.costs import AccountCosts
from flowyml_aws.submission.billing import ReconciledCost
from flowyml_aws.submission.costs import CostKey, JobCost, RunCost
from flowyml_aws.view.costs import costs_table, reconciled_table
from flowyml_aws.view.terminal import Terminal

DAY = date(2026, 11, 1)


def lines(table: RenderableType) -> list[str]:
    terminal = Terminal(file=io.StringIO(), width=120)
    terminal.print(table)
    return [" ".join(line.split()) for line in terminal.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def a_run(pipeline: str, **changes: Any) -> RunCost:
    costs: dict[str, Any] = {"predicted_usd": 1.0, "counted_usd": 1.5, **changes}
    return RunCost(pipeline, pipeline, "ada", DAY, (JobCost("train", "m5.large", DAY, **costs),))


def test_costs_are_rows_with_a_total() -> None:
    runs = (a_run("digits"), a_run("words", counted_usd=0.5))
    header, *rows = lines(costs_table(AccountCosts(0.0, runs), CostKey.PIPELINE))
    assert header == "pipeline runs predicted counted difference"
    assert rows[:3] == [
        "digits 1 $1.00 $1.50 +50 %",
        "words 1 $1.00 $0.50 -50 %",
        "total 2 $2.00 $2.00 +0 %",
    ]


def test_incomplete_costs_are_marked_and_explained() -> None:
    runs = (a_run("digits", counted_usd=None), a_run("digits", predicted_usd=None))
    costs = AccountCosts(0.0, runs, free=2, unknown=("lost-1", "lost-2"))
    text = lines(costs_table(costs, CostKey.PIPELINE))
    assert text[1] == "digits 1 ≥ $1.00 ≥ $1.50"
    notes = "\n".join(text[3:])
    assert "1 job had no predicted cost" in notes
    assert "the price of 1 job is unknown" in notes
    assert "2 runs on this machine cost nothing" in notes
    assert "their end is not recorded: lost-1 and 1 more" in notes


def test_billed_costs_are_compared_with_the_counted_ones() -> None:
    rows = [
        ReconciledCost(DAY, "m5", 1.0, 2.0, 2.5),
        ReconciledCost(DAY, "other", 0.0, 0.0, 0.25),
    ]
    assert lines(reconciled_table(rows)) == [
        "day family predicted counted billed difference",
        "2026-11-01 m5 $1.00 $2.00 $2.50 +25 %",
        "2026-11-01 other $0.00 $0.00 $0.25",
    ]
