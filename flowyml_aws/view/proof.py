"""Terminal output of a proof: its plan, and the table of what agreed and what deviated."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from flowyml_aws.core.amounts import usd
from flowyml_aws.doctor.prove.offers import ProofPlan
from flowyml_aws.doctor.prove.report import Proof, Row, Verdict

__all__ = ["proof_plan_table", "proof_table"]

_STYLES: dict[Verdict, str] = {
    "agreed": "green",
    "deviated": "bold red",
    "not checked": "yellow",
}


def proof_plan_table(plan: ProofPlan) -> RenderableType:
    """Return a table of the parts with their instance types, followed by the highest price."""
    table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
    for title in ("part", "runs", "instance type", "at most"):
        table.add_column(title, justify="right" if title in ("runs", "at most") else "left")
    for each in plan.parts:
        if each.plan is None:
            table.add_row(each.part.name, "", Text(f"not checked: {each.problem}", "yellow"), "")
            continue
        (job,) = each.plan.jobs
        price = "?" if each.highest_usd is None else usd(each.highest_usd)
        table.add_row(each.part.name, str(len(each.part.stages)), job.machines, price)
    highest = Text(f"highest price of these jobs: {usd(plan.highest_usd)}", "bold")
    highest.append(
        ", if each runs on the most expensive type and as long as it may; EC2 also bills an "
        "instance for the minutes until AWS Batch ends it",
        "not bold",
    )
    return Group(table, highest)


def proof_table(proof: Proof) -> RenderableType:
    """Return a table with a line for each check, followed by what was not checked."""
    table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
    for title in ("part", "check", "", "plan and emulator", "this account"):
        table.add_column(title, overflow="fold")
    for row in proof.rows:
        observed = f"{row.observed}: {row.reason}" if _is_deviation(row) else row.observed
        verdict = Text(row.verdict, _STYLES[row.verdict])
        table.add_row(row.part, row.check, verdict, Text(row.expected), Text(observed))
    unchecked = proof.rows_with("not checked")
    lines = [Text(f"  {row.part}, {row.check}: {row.reason}") for row in unchecked]
    if lines:
        lines.insert(0, Text("Not checked:", "bold yellow"))
    return Group(table, *lines, _summary(proof))


def _is_deviation(row: Row) -> bool:
    return row.verdict == "deviated" and bool(row.reason)


def _summary(proof: Proof) -> Text:
    counts = {verdict: len(proof.rows_with(verdict)) for verdict in _STYLES}
    text = Text(", ".join(f"{count} {verdict}" for verdict, count in counts.items()) + ".")
    text.stylize(_STYLES["deviated" if counts["deviated"] else "agreed"])
    if proof.is_emulated:
        text.append(" The account was emulated: this proves nothing about AWS.", "yellow")
    return text
