"""The command that opens a shell in a running job."""

from __future__ import annotations

import signal
import subprocess
from typing import Annotated

import typer

from flowyml_aws.cli.app import RunId, app
from flowyml_aws.cli.completion import complete_job
from flowyml_aws.client.shell import open_shell
from flowyml_aws.services.connect import find_run

__all__ = ["shell"]


@app.command()
def shell(
    run_id: RunId,
    step: Annotated[
        str,
        typer.Argument(
            metavar="STEP",
            help="Step of the run, an item of a mapped step, or a job.",
            autocompletion=complete_job,
        ),
    ],
    node: Annotated[int, typer.Option(min=0, help="Node of a step on several nodes.")] = 0,
    command: Annotated[
        str, typer.Option(help="Program to start in a job on AWS Batch.")
    ] = "/bin/sh",
) -> None:
    """Open a shell in a running job on AWS, of a run that was started with --debug-shell."""
    driver, name = find_run(run_id).containing(step)
    session = open_shell(driver, name, node, command)
    # Ctrl-C is for the program in the shell. Not SIG_IGN, which the plugin would inherit.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        code = subprocess.call(session.arguments)
    finally:
        signal.signal(signal.SIGINT, before)
    raise typer.Exit(code if code >= 0 else 128 - code)
