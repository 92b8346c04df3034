"""The program `flowyml-aws`. Its exit codes are documented in `core/errors.py`."""

from __future__ import annotations

import sys
import traceback
from typing import Annotated

import typer
from rich.console import Console

# Importing these modules registers their commands.
from flowyml_aws.cli import catalog, doctor, images, instances, plans, runs, storage  # noqa: F401
from flowyml_aws.cli.app import BUG, app
from flowyml_aws.core.errors import FlowymlError

__all__ = ["app", "main"]


def main() -> None:
    """Run a command. Print an error as what failed, why, and how to fix it."""
    try:
        app()
    except FlowymlError as error:
        Console(stderr=True).print(
            f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True
        )
        sys.exit(error.exit_code)
    except Exception:
        traceback.print_exc()
        print(
            "error: this is a bug in flowyml-aws; please report it with the traceback",
            file=sys.stderr,
        )
        sys.exit(BUG)


@app.command()
def emulate(
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for a free one.")] = 0,
    containers: Annotated[
        str | None,
        typer.Option(metavar="IMAGE", help="Run jobs in containers of this image, as on AWS."),
    ] = None,
    job_images: Annotated[
        bool,
        typer.Option(
            "--job-images",
            help="Run jobs in containers of the images that they name, which `image push` pushes.",
        ),
    ] = False,
    empty: Annotated[
        bool,
        typer.Option("--empty", help="Start without the resources of infra/, to try infra/."),
    ] = False,
    quotas: Annotated[
        str,
        typer.Option(metavar="LEVEL", help="Quotas: new-account, without GPUs, or raised."),
    ] = "new-account",
    failed_starts: Annotated[
        float,
        typer.Option(
            metavar="RATE", min=0, max=1, help="Fraction of Batch's starts that fail by chance."
        ),
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of what AWS decides at random.")] = 0,
    lenient: Annotated[
        list[str] | None,
        typer.Option(metavar="RULE", help="Switch off a rule of AWS: iam. May be repeated."),
    ] = None,
    deviate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Deviate from AWS, so that `doctor --prove` finds it. May be repeated.",
        ),
    ] = None,
    print_policy: Annotated[
        bool,
        typer.Option(
            "--print-policy", help="At the end, print the least policies for what was run."
        ),
    ] = False,
    warm_imports: Annotated[
        list[str] | None,
        typer.Option(
            "--warm-import",
            metavar="MODULE",
            help="Module that jobs find imported, which saves time; repeatable.",
        ),
    ] = None,
) -> None:
    """Serve an emulated AWS account that really runs the jobs, and print its settings."""
    from flowyml_aws.testing import serve
    from flowyml_aws.testing.quotas import quota_level

    serve(
        port=port,
        containers=containers,
        job_images=job_images,
        empty=empty,
        quotas=quota_level(quotas),
        failed_start_rate=failed_starts,
        seed=seed,
        lenient=lenient or (),
        deviations=deviate or (),
        print_policy=print_policy,
        warm_imports=warm_imports or (),
    )
