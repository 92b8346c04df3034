"""The command that lists runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from flowyml_aws.cli.ages import age_s
from flowyml_aws.cli.app import AsJson, app
from flowyml_aws.cli.facts import print_json
from flowyml_aws.client.listing import STATES, RunFilter, list_runs
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.packaging.project import find_project
from flowyml_aws.services.connect import account_settings, stores
from flowyml_aws.view import program, runs_table
from flowyml_aws.view.terminal import Terminal

__all__ = ["runs"]


@app.command()
def runs(
    pipeline: Annotated[str | None, typer.Option(help="Only runs of this pipeline.")] = None,
    state: Annotated[
        list[str] | None,
        typer.Option(metavar="STATE", help=f"Only runs in this state: {', '.join(STATES)}."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="AGE", help="Only runs of this age or younger, such as 7d or 12h."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the newest runs, at most this many.")
    ] = None,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Also list sub-runs: pipelines of dynamic steps."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the runs in the project's local store and in its S3 store, newest first.

    Of the runs that have not ended, the newest 10 are asked for their state.
    """
    earliest = 0.0 if since is None else time.time() - age_s(since, "--since")
    wanted = RunFilter(pipeline, _states(state or ()), earliest, limit, with_sub_runs=everything)
    project = find_project([]).root
    run_stores = dict.fromkeys(stores(account_settings(project), project).values())
    listed = list_runs(run_stores, wanted)
    if as_json:
        print_json([asdict(run) for run in listed])
        return
    if not listed:
        is_filtered = wanted != RunFilter(limit=limit, with_sub_runs=everything)
        print(
            "no run matches"
            if is_filtered
            else "no runs yet: start one with `flowyml-aws run FILE`"
        )
        return
    Terminal().print(runs_table(listed, time.time()))
    for run in listed:
        if run.needs_client and run.part_of is None:
            print(f"warning: {run.run_id} waits for a client: `{program()} attach {run.run_id}`")


def _states(states: Sequence[str]) -> Sequence[str]:
    for state in states:
        if state not in STATES:
            raise SettingsError(
                what=f"Unknown --state {state!r}",
                why=f"the states are {', '.join(STATES)}",
                fix=did_you_mean(state, STATES, "name one of them"),
            )
    return tuple(states)
