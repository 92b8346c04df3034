"""Questions before an action that can't be undone."""

from __future__ import annotations

import sys

import typer

from flowyml_aws.core.errors import SettingsError

__all__ = ["confirm"]


def confirm(question: str) -> None:
    """Ask a question, and end the command unless the answer is yes.

    Raises:
        SettingsError: Standard input is not a terminal and contains no answer.
    """
    try:
        is_confirmed = typer.confirm(question, err=True)
    except typer.Abort:
        if sys.stdin.isatty():
            raise
        typer.echo(err=True)  # after the question
        raise SettingsError(
            what=f"Not confirmed: {question}",
            why="standard input is not a terminal, and contains no answer",
            fix="add --yes",
        ) from None
    if not is_confirmed:
        raise typer.Abort
