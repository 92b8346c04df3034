"""The command-line program, and the options that its commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from flowyml_aws import __version__
from flowyml_aws.cli.completion import complete_run
from flowyml_aws.core.spot import SPOT_RULES

__all__ = [
    "INTERRUPTED",
    "READER_GONE",
    "RUN_FAILED",
    "AsJson",
    "Backends",
    "CheckpointSteps",
    "Context",
    "ContextFile",
    "DebugShell",
    "Detach",
    "Env",
    "File",
    "MaxCost",
    "MaxPrice",
    "NoCache",
    "Notify",
    "Refresh",
    "RunId",
    "Spot",
    "StopIdleGpu",
    "app",
]

RUN_FAILED, INTERRUPTED, READER_GONE = 1, 130, 141
"""Exit codes without a `FlowymlError`, whose class has its own; 141 is 128 and SIGPIPE."""


class _Program(TyperGroup):
    """The program, in which an interrupt has its own exit code with every version of typer."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    name="flowyml-aws",
    cls=_Program,
    help="Run ML pipelines on AWS from a laptop.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"flowyml-aws {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Take the options of the program itself."""


File = Annotated[
    str,
    typer.Argument(
        metavar="FILE[:PIPELINE]",
        help="Python file, and the name of its pipeline or of a function that returns one.",
    ),
]
RunId = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="Run: its id or the start of it, latest, or latest:PIPELINE.",
        autocompletion=complete_run,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Backends = Annotated[
    list[str] | None,
    typer.Option(
        "--backend",
        "-b",
        metavar="[GROUP=]BACKEND",
        help="local, batch or sagemaker; default: the setting `backend`, or local. "
        "GROUP=BACKEND sets it for one group; repeatable.",
    ),
]
Context = Annotated[
    list[str] | None,
    typer.Option(
        "--context",
        "-c",
        metavar="NAME=VALUE",
        help="Set a step parameter, or one of a sub-pipeline (prepare/rate=2); repeatable.",
    ),
]
ContextFile = Annotated[
    Path | None,
    typer.Option(
        "--context-file",
        metavar="FILE",
        help="Set the step parameters of a .json or .toml file; --context overrides them.",
    ),
]
Sweep = Annotated[
    list[str] | None,
    typer.Option(
        metavar="STEP=FILE.csv",
        help="Run this step once for each row of a CSV file, whose columns are parameters; "
        "repeatable.",
    ),
]
Env = Annotated[
    list[str] | None,
    typer.Option(
        "--env", metavar="NAME=VALUE", help="Set an environment variable of all jobs; repeatable."
    ),
]
NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Execute every step, even if its outputs are cached.")
]
Refresh = Annotated[
    list[str] | None,
    typer.Option(
        metavar="STEP",
        help="Execute this step or sub-pipeline and all that depend on it, even if cached; "
        "repeatable.",
    ),
]
MaxPrice = Annotated[
    float | None,
    typer.Option("--max-price-usd-hour", min=0, help="Maximum price of a job per hour (USD)."),
]
CheckpointSteps = Annotated[
    bool,
    typer.Option(
        "--checkpoint-steps",
        help="Store the outputs of all steps, so that a lost host repeats one step of a group.",
    ),
]
Spot = Annotated[
    str | None,
    typer.Option(
        "--spot",
        metavar="|".join(SPOT_RULES),
        help="Use of spot capacity by steps without a rule of their own; by default what is "
        "cheapest.",
    ),
]
StopIdleGpu = Annotated[
    str | None,
    typer.Option(
        "--stop-idle-gpu",
        metavar="TIME",
        help="Stop a step that has not used the GPUs of its job for this time, such as 30m.",
    ),
]
Notify = Annotated[
    list[str] | None,
    typer.Option(
        metavar="RECIPIENT",
        help="Send a notice when the run has ended: sns:TOPIC_ARN, events:BUS, webhook:SECRET or "
        "webhook:env:VARIABLE; repeatable. Default: the setting `notify`.",
    ),
]
DebugShell = Annotated[
    bool,
    typer.Option("--debug-shell", help="Let `flowyml-aws shell` open a shell in the jobs on AWS."),
]
Detach = Annotated[bool, typer.Option("--detach", help="Do not wait until it finishes.")]
MaxCost = Annotated[
    float | None,
    typer.Option(
        "--max-cost-usd",
        min=0,
        help="Maximum cost of the run (USD), before it starts and while it runs.",
    ),
]
