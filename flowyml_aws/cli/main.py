"""The program `flowyml-aws`. Its exit codes are documented in `core/errors.py`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

# Importing these modules registers their commands.
from flowyml_aws.cli import (  # noqa: F401
    advice,
    approvals,
    catalog,
    costs,
    doctor,
    images,
    instances,
    listing,
    notices,
    plans,
    reports,
    runs,
    schedules,
    storage,
)
from flowyml_aws.cli.app import INTERRUPTED, READER_GONE, app
from flowyml_aws.cli.bugs import unexpected
from flowyml_aws.cli.streams import OutputError, checked_streams
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.core.termination import Terminated, raise_terminations
from flowyml_aws.view.terminal import Terminal

__all__ = ["app", "main"]


def main() -> None:
    """Run a command. Print an error as what failed, why, and how to fix it."""
    with checked_streams():
        code = _run()
    sys.exit(code)


def _run() -> int | str | None:
    """Run a command, and return its exit code."""
    code: int | str | None = None
    try:
        with raise_terminations():
            try:
                app(prog_name="flowyml-aws")  # also for `python -m`
            except SystemExit as end:
                code = end.code
            sys.stdout.flush()
    except Terminated as end:
        return 128 + end.number  # as a shell reports the signal
    except KeyboardInterrupt:
        return INTERRUPTED
    except OutputError as error:
        if not error.has_reader:
            return READER_GONE
        return _report(error)
    except FlowymlError as error:
        return _report(error)
    except Exception as error:
        return _report(unexpected(error, " ".join(sys.argv[1:2])))
    return code


def _report(error: FlowymlError) -> int:
    console = Terminal(stderr=True)
    console.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
    return error.exit_code


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
    nodes: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FAMILY",
            help="Add a queue for jobs on several nodes, such as cpu. May be repeated.",
        ),
    ] = None,
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
    moto_api: Annotated[
        bool,
        typer.Option("--moto-api", help="Switch on moto's own API, which needs no credentials."),
    ] = False,
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
        nodes=nodes or (),
        empty=empty,
        quotas=quota_level(quotas),
        failed_start_rate=failed_starts,
        seed=seed,
        lenient=lenient or (),
        deviations=deviate or (),
        moto_api=moto_api,
        print_policy=print_policy,
        warm_imports=warm_imports or (),
    )
