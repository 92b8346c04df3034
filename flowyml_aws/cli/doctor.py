"""The command that checks the setup, and diagnoses a run that makes no progress."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from flowyml_aws.cli.app import RUN_FAILED, AsJson, app
from flowyml_aws.cli.completion import complete_run
from flowyml_aws.cli.facts import print_json
from flowyml_aws.cli.proving import MAX_COST_USD, REPORT, ProveCommand, prove_account
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.doctor.checkup import checkup
from flowyml_aws.doctor.examination import Report
from flowyml_aws.doctor.prove.prove import ALERT_LIMIT_S, ProofOptions
from flowyml_aws.doctor.run import examine_run
from flowyml_aws.packaging.project import find_project
from flowyml_aws.services.connect import find_run
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.view.findings import report_text, verdict
from flowyml_aws.view.terminal import Terminal

__all__ = ["doctor"]


@app.command()
def doctor(
    run: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="Explain why the jobs of this run do not start.",
            autocompletion=complete_run,
        ),
    ] = None,
    as_json: AsJson = False,
    prove: Annotated[
        bool,
        typer.Option("--prove", help="Run tiny jobs, and compare AWS with the plan; costs money."),
    ] = False,
    gpu: Annotated[
        str | None,
        typer.Option(metavar="TYPE", help="With --prove: also one GPU job on each service."),
    ] = None,
    nodes: Annotated[
        bool,
        typer.Option("--nodes", help="With --prove: also a job on two nodes on each service."),
    ] = False,
    efa: Annotated[
        bool,
        typer.Option(
            "--efa",
            help="With --prove: also a job on two nodes with EFA, of large types, on each service.",
        ),
    ] = False,
    max_cost: Annotated[
        float,
        typer.Option(metavar="USD", min=0, help="With --prove: refuse if it may cost more."),
    ] = MAX_COST_USD,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --prove: do not ask.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="PART", help="With --prove: only this part; repeatable."),
    ] = None,
    topic: Annotated[
        str | None,
        typer.Option(metavar="ARN", help="With --prove: topic for alerts, if not infra/'s."),
    ] = None,
    alert_limit: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=1, help="With --prove: wait for the alert."),
    ] = ALERT_LIMIT_S,
    billed: Annotated[
        bool,
        typer.Option(
            "--billed", help="With --prove: also ask Cost Explorer for billed costs; $0.01."
        ),
    ] = False,
    image_build: Annotated[
        bool,
        typer.Option(
            "--image-build",
            help="With --prove: also let CodeBuild build a small image; at most $0.05.",
        ),
    ] = False,
    report: Annotated[
        Path, typer.Option(metavar="FILE", help="With --prove: file for the report.")
    ] = REPORT,
) -> None:
    """Check this machine and the AWS account, and suggest fixes; exits with 1 on an error."""
    of_prove = {
        "--gpu": gpu is not None,
        "--nodes": nodes,
        "--efa": efa,
        "--max-cost": max_cost != MAX_COST_USD,
        "--yes": yes,
        "--only": bool(only),
        "--topic": topic is not None,
        "--alert-limit": alert_limit != ALERT_LIMIT_S,
        "--billed": billed,
        "--image-build": image_build,
        "--report": report != REPORT,
    }
    _require_prove(prove, run, [name for name, is_passed in of_prove.items() if is_passed])
    if prove:
        options = ProofOptions(
            gpu=gpu,
            topic=topic,
            alert_limit_s=alert_limit,
            asks_billing=billed,
            sends_notices=not only,
            builds_image=image_build,
        )
        command = ProveCommand(
            options, only or (), max_cost, yes, report, has_nodes=nodes, has_efa=efa
        )
        sys.exit(prove_account(command, as_json))
    driver = None if run is None else find_run(run)
    reports = list(_print_reports(_reports(driver), as_json))
    if as_json:
        print_json(_facts(driver, reports))
    else:
        _console().print(verdict(reports))
    sys.exit(RUN_FAILED if _has_error(reports) else 0)


def _require_prove(prove: bool, run: str | None, options: Sequence[str]) -> None:
    """Refuse options that belong to the other form of the command."""
    if prove and run is not None:
        raise SettingsError(
            what="--prove and --run exclude each other",
            why="--run explains one run, --prove starts runs of its own",
            fix="pass one of them",
        )
    if not prove and options:
        raise SettingsError(
            what=f"{', '.join(options)} without --prove",
            why="only `doctor --prove` runs jobs",
            fix="add --prove, or leave these options out",
        )


def _reports(driver: RunDriver | None) -> Iterator[Report]:
    if driver is not None:
        return examine_run(driver)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return checkup(find_project([]).root, os.environ, python, time.time)


def _print_reports(reports: Iterable[Report], as_json: bool) -> Iterator[Report]:
    """Yield reports, and print each one as soon as it exists, unless JSON is wanted."""
    for report in reports:
        if report.findings and not as_json:
            # No line breaks: users copy names and commands.
            _console().print(report_text(report), soft_wrap=True, highlight=False)
        yield report


def _console() -> Console:
    return Terminal()


def _has_error(reports: Iterable[Report]) -> bool:
    return any(finding.level == "error" for report in reports for finding in report.findings)


def _facts(driver: RunDriver | None, reports: Sequence[Report]) -> dict[str, Any]:
    if driver is None:  # the checks ran concurrently
        reports = sorted(reports, key=lambda report: report.check)
    return {
        "version": 1,
        **({"run_id": driver.record.run_id} if driver is not None else {}),
        "ok": not _has_error(reports),
        "findings": [
            {"check": report.check, **asdict(finding)}
            for report in reports
            for finding in report.findings
        ],
    }
