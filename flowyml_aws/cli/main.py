"""The program `flowyml-aws`.

Exit codes: 0 success, 1 the run failed, 2 the user's mistake, 3 AWS refused, 130 interrupted.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console

# Importing them adds their commands.
from flowyml_aws.cli import catalog, doctor, images, instances, plans, runs, storage  # noqa: F401
from flowyml_aws.cli.app import AWS_REFUSED, MISTAKE, app
from flowyml_aws.core.errors import AwsRefusedError, FlowymlError, InvalidPipelineError

__all__ = ["app", "main"]


def main() -> None:
    """The program: runs a command, and tells an error as what, why, fix."""
    try:
        app()
    except FlowymlError as error:
        Console(stderr=True).print(
            f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True
        )
        sys.exit(_exit_code(error))


@app.command()
def emulate(
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for a free one.")] = 0,
    containers: Annotated[
        str | None,
        typer.Option(metavar="IMAGE", help="Run jobs in containers of this image, as on AWS."),
    ] = None,
) -> None:
    """Serve an emulated AWS account that really runs the jobs, and print its settings."""
    from flowyml_aws.testing import serve

    serve(port=port, containers=containers)


def _exit_code(error: FlowymlError) -> int:
    problems = error.problems if isinstance(error, InvalidPipelineError) else (error,)
    refused = all(isinstance(problem, AwsRefusedError) for problem in problems)
    return AWS_REFUSED if refused else MISTAKE
