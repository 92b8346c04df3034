"""The command that writes the report of a run."""

from __future__ import annotations

import sys
import threading
import webbrowser
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from flowyml_aws.cli.app import RunId, app
from flowyml_aws.cli.completion import complete_run
from flowyml_aws.client.run import Run
from flowyml_aws.report.write import write_data, write_page

__all__ = ["report"]


@app.command()
def report(
    run_id: RunId,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="HTML file; default: RUN.html."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write all figures to this .json or .csv file, and no page."
        ),
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="Also compare this run with another one, as `compare` does.",
            autocompletion=complete_run,
        ),
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Serve the page on this machine, and keep it up to date."),
    ] = False,
) -> None:
    """Write the report of a run: one HTML page that needs no server."""
    attached = Run.attach(run_id)
    other = None if compare is None else Run.attach(compare)
    if watch:
        _watch(attached, other, open_page)
        return
    run_report = attached.report_data(other)
    if data is not None:
        print(f"wrote the figures to {write_data(run_report, data)}", file=sys.stderr)
        if out is None and not open_page:
            return
    path = write_page(run_report, out or Path(f"{attached.id}.html"))
    print(f"wrote the report to {path}", file=sys.stderr)
    if open_page:
        _open(path.as_uri())


def _watch(attached: Run, other: Run | None, open_page: bool) -> None:
    from flowyml_aws.report.watch import serving

    with serving(partial(attached.report_data, other)) as url:
        print(f"the report of {attached.id} is at {url} until Ctrl-C", file=sys.stderr)
        if open_page:
            _open(url)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


def _open(uri: str) -> None:
    if not webbrowser.open(uri):
        print(f"warning: no browser was found; open {uri}", file=sys.stderr)
