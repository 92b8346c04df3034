"""The command that sends notices."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from flowyml_aws.cli.app import RUN_FAILED, AsJson, app
from flowyml_aws.cli.completion import complete_run
from flowyml_aws.cli.facts import print_json
from flowyml_aws.cli.streams import for_terminal
from flowyml_aws.core.errors import SettingsError

__all__ = ["notify"]


@app.command()
def notify(
    run_id: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]",
            help="Run that has ended, whose notice is sent again.",
            autocompletion=complete_run,
        ),
    ] = None,
    test: Annotated[bool, typer.Option("--test", help="Send a test notice instead.")] = False,
    to: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RECIPIENT",
            help="sns:TOPIC_ARN, events:BUS, webhook:SECRET or webhook:env:VARIABLE; repeatable. "
            "Default: the recipients of the run, or the setting `notify` for a test.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Send a test notice, or the notice of a run's end again."""
    from flowyml_aws.client.notices import send_again, send_test

    if test == (run_id is not None):
        raise SettingsError(
            what="Name a run, or pass --test" if not test else "A run and --test",
            why="a notice is about a run that has ended, or a test",
            fix="write `flowyml-aws notify RUN` or `flowyml-aws notify --test`",
        )
    errors = send_test(to or None) if run_id is None else send_again(run_id, to or None)
    if as_json:
        print_json({name: None if e is None else e.what for name, e in errors.items()})
    else:
        for name, error in errors.items():
            print(for_terminal(f"{name}: {'sent' if error is None else error}"))
    if any(errors.values()):
        sys.exit(RUN_FAILED)
