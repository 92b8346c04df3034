"""The command that says whether all of it works, and why a run does not go on."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console

from flowyml_aws.cli.app import RUN_FAILED, AsJson, app
from flowyml_aws.cli.facts import print_json
from flowyml_aws.doctor.checkup import checkup
from flowyml_aws.doctor.examination import Report
from flowyml_aws.doctor.run import examine_run
from flowyml_aws.packaging.project import find_project
from flowyml_aws.services.connect import find_run
from flowyml_aws.view.findings import report_text, verdict

__all__ = ["doctor"]


@app.command()
def doctor(
    run: Annotated[
        str | None, typer.Option(metavar="RUN", help="Tell why this run's jobs do not start.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check this machine and the account, and tell what to mend; exit 1 on an error."""
    reports = list(_shown(_reports(run), as_json))
    if as_json:
        print_json(_facts(run, reports))
    else:
        _console().print(verdict(reports))
    sys.exit(RUN_FAILED if _has_error(reports) else 0)


def _reports(run: str | None) -> Iterator[Report]:
    if run is not None:
        return examine_run(find_run(run))
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return checkup(find_project([]).root, os.environ, python, time.time)


def _shown(reports: Iterable[Report], as_json: bool) -> Iterator[Report]:
    for report in reports:
        if report.findings and not as_json:
            # Unwrapped: names and commands in it are there to be copied.
            _console().print(report_text(report), soft_wrap=True, highlight=False)
        yield report


def _console() -> Console:
    return Console()


def _has_error(reports: Iterable[Report]) -> bool:
    return any(one.level == "error" for report in reports for one in report.findings)


def _facts(run: str | None, reports: Sequence[Report]) -> dict[str, Any]:
    if run is None:  # they came in any order
        reports = sorted(reports, key=lambda report: report.check)
    return {
        "version": 1,
        **({"run_id": run} if run is not None else {}),
        "ok": not _has_error(reports),
        "findings": [
            {"check": report.check, **asdict(one)} for report in reports for one in report.findings
        ],
    }
