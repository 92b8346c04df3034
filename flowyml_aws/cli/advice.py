"""The command that advises on the requests of a pipeline."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from flowyml_aws.cli.app import AsJson, Backends, Context, ContextFile, File, Spot, Sweep, app
from flowyml_aws.cli.facts import print_json
from flowyml_aws.cli.load import load_pipeline, run_options
from flowyml_aws.planning.advice.evidence import MIN_RUNS
from flowyml_aws.submission.history import MAX_TIMES
from flowyml_aws.view.advice import advice_text
from flowyml_aws.view.terminal import Terminal

__all__ = ["advise"]


@app.command()
def advise(
    file: File,
    backend: Backends = None,
    runs: Annotated[
        int,
        typer.Option(metavar="N", min=MIN_RUNS, help="Number of earlier runs that count."),
    ] = MAX_TIMES,
    context: Context = None,
    context_file: ContextFile = None,
    spot: Spot = None,
    sweep: Sweep = None,
    as_json: AsJson = False,
) -> None:
    """Show the smallest adequate requests according to earlier runs, and what they save."""
    options = run_options(
        backend, context, context_file, None, False, None, None, None, False, spot, sweep, None
    )
    advice = load_pipeline(file).advise(runs, **options)
    if as_json:
        print_json(json.loads(advice.to_json()))
    else:
        Terminal().print(advice_text(advice))
