"""The command that shows the costs of an account."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import date, datetime, timedelta, timezone
from typing import Annotated, Any

import typer

from flowyml_aws.cli.ages import age_s
from flowyml_aws.cli.app import AsJson, app
from flowyml_aws.cli.confirm import confirm
from flowyml_aws.cli.facts import print_json
from flowyml_aws.client.costs import AccountCosts, read_costs
from flowyml_aws.core.amounts import counted, usd
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.packaging.project import find_project
from flowyml_aws.services.account import Account
from flowyml_aws.services.connect import account_settings, stores
from flowyml_aws.submission.billing import REQUEST_USD, ReconciledCost, reconcile
from flowyml_aws.submission.costs import CostKey, CostRow
from flowyml_aws.view.costs import costs_table, reconciled_table
from flowyml_aws.view.terminal import Terminal

__all__ = ["costs"]

_KEYS = tuple(key.value for key in CostKey)
_YES = typer.Option("--yes", "-y", help="Do not ask before the paid request of --billed.")


@app.command()
def costs(
    since: Annotated[
        str, typer.Option(metavar="AGE", help="Only runs of this age or younger: 30d, 12h.")
    ] = "30d",
    by: Annotated[
        str, typer.Option(metavar="|".join(_KEYS), help="Key by which costs are added up.")
    ] = CostKey.PIPELINE.value,
    billed: Annotated[
        bool,
        typer.Option(
            "--billed",
            help="Compare with the bill by day and instance family, from Cost Explorer. A request "
            "costs $0.01. Not yet run on AWS.",
        ),
    ] = False,
    yes: Annotated[bool, _YES] = False,
    as_json: AsJson = False,
) -> None:
    """Show what the runs in this project's stores cost: as predicted, and as counted."""
    key, now = _key(by), time.time()
    earliest = now - age_s(since, "--since")
    project = find_project([]).root
    settings = account_settings(project)
    run_stores = dict.fromkeys(stores(settings, project).values())
    if billed and settings.store is None:
        raise SettingsError(
            what="No costs are billed: no account is set up",
            why="the setting `store` is missing, so all runs are on this machine",
            fix="leave --billed out, or set up an account (docs/getting-started.md)",
        )
    found = read_costs(run_stores, earliest, key is CostKey.USER, now)
    reconciled: list[ReconciledCost] = []
    if billed:
        if not yes:
            confirm(f"ask Cost Explorer? A request costs {usd(REQUEST_USD)}; usually one is enough")
        start, end = _days(earliest, now)
        bills = Account(settings, project, settings.image).billed_costs(start, end)
        reconciled = reconcile(found.runs, bills)
    if as_json:
        print_json(_facts(found, key, reconciled if billed else None))
        return
    terminal = Terminal()
    if not found.runs:
        free = f"; {counted(found.free, 'run')} on this machine cost nothing" if found.free else ""
        terminal.print(f"no runs on AWS in the last {since}{free}", highlight=False)
    else:
        terminal.print(costs_table(found, key))
    if billed:
        terminal.print()
        terminal.print(reconciled_table(reconciled))


def _key(name: str) -> CostKey:
    if name not in _KEYS:
        raise SettingsError(
            what=f"Unknown --by {name!r}",
            why=f"costs can be added up by {', '.join(_KEYS)}",
            fix=did_you_mean(name, _KEYS, "name one of them"),
        )
    return CostKey(name)


def _days(earliest: float, now: float) -> tuple[date, date]:
    """Return the first day and the day after the last one (UTC)."""
    first, last = (datetime.fromtimestamp(at, timezone.utc).date() for at in (earliest, now))
    return first, last + timedelta(days=1)


def _facts(
    found: AccountCosts, key: CostKey, reconciled: list[ReconciledCost] | None
) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "since": found.since,
        "by": key.value,
        "rows": [_row_facts(row) for row in found.by(key)],
        "total": _row_facts(found.total),
        "runs_without_cost": found.free,
        "unknown_runs": list(found.unknown),
    }
    if reconciled is not None:
        facts["billed"] = [
            {**asdict(row), "day": row.day.isoformat(), "difference": row.difference}
            for row in reconciled
        ]
    return facts


def _row_facts(row: CostRow) -> dict[str, Any]:
    return {**asdict(row), "difference": row.difference}
