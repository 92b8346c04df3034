"""The command line's frame: the program, and what its commands share."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = [
    "BUG",
    "INTERRUPTED",
    "RUN_FAILED",
    "AsJson",
    "Backends",
    "Context",
    "File",
    "MaxCost",
    "MaxPrice",
    "NoCache",
    "Refresh",
    "RunId",
    "app",
]

RUN_FAILED, BUG, INTERRUPTED = 1, 70, 130
"""Exit codes without a `FlowymlError`, whose class has its own; 70 is EX_SOFTWARE of sysexits.h."""

app = typer.Typer(
    name="flowyml-aws",
    help="Run ML pipelines on AWS from a laptop.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

File = Annotated[str, typer.Argument(metavar="FILE[:PIPELINE]", help="Where the pipeline is.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="Id of a run.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print facts as JSON.")]
Backends = Annotated[
    list[str] | None,
    typer.Option(
        "--backend",
        "-b",
        metavar="[GROUP=]BACKEND",
        help="local, batch or sagemaker; for one group with its name before it; may repeat.",
    ),
]
Context = Annotated[
    list[str] | None,
    typer.Option("--context", "-c", metavar="NAME=VALUE", help="A parameter; may repeat."),
]
NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Run every step; later runs may use what it makes.")
]
Refresh = Annotated[
    list[str] | None,
    typer.Option(metavar="STEP", help="Run it, and what depends on it; may repeat."),
]
MaxPrice = Annotated[
    float | None,
    typer.Option("--max-price-usd-hour", min=0, help="No dearer instance type."),
]
MaxCost = Annotated[
    float | None, typer.Option("--max-cost-usd", min=0, help="No run expected to cost more.")
]
