"""The command that runs another command in a job like that of a step."""

from __future__ import annotations

import shlex
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from flowyml_aws.cli.app import INTERRUPTED, RUN_FAILED, app
from flowyml_aws.cli.completion import complete_run, complete_step
from flowyml_aws.cli.confirm import confirm
from flowyml_aws.cli.streams import for_terminal
from flowyml_aws.client.exec_like import STEP, CommandJob, cost_until, imitated, like_step
from flowyml_aws.client.run import Run
from flowyml_aws.client.step_of_run import StepChoice, find_step
from flowyml_aws.core.amounts import usd
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.termination import Terminated
from flowyml_aws.core.time_spans import TIME_UNITS, seconds_of
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.planning.wording import time_text
from flowyml_aws.services.connect import FoundRun, locate_run
from flowyml_aws.submission.record import RunState
from flowyml_aws.submission.run_names import LATEST
from flowyml_aws.view import plan_table
from flowyml_aws.view.terminal import Terminal, program

__all__ = ["execute"]


@app.command("exec")
def execute(
    command: Annotated[
        list[str],
        typer.Argument(
            metavar="COMMAND", help="Program of the image, and its arguments, after --."
        ),
    ],
    like: Annotated[
        str,
        typer.Option(
            metavar="STEP",
            help="Step of the run, or an item of a mapped step: train[3].",
            autocompletion=complete_step,
        ),
    ],
    run_id: Annotated[
        str,
        typer.Option(
            "--run",
            metavar="RUN",
            help="Run of the step: its id or the start of it, latest, or latest:PIPELINE.",
            autocompletion=complete_run,
        ),
    ] = LATEST,
    item: Annotated[
        int | None, typer.Option(min=0, help="Position of the item of a mapped step, from 0.")
    ] = None,
    time_limit: Annotated[
        str, typer.Option(metavar="TIME", help="Time after which the command is ended.")
    ] = "1h",
    backend: Annotated[
        str | None,
        typer.Option(
            "--backend", "-b", help="local, batch or sagemaker; default: that of the step."
        ),
    ] = None,
    allow_pickle: Annotated[
        bool | None,
        typer.Option(
            "--allow-pickle/--no-pickle",
            help="Use or refuse the values of a run that you did not start on this machine.",
            show_default=False,
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before a job that costs.")] = False,
) -> None:
    """Run a command in a new job with the resources, image, environment and inputs of a step.

    The job ends with the command, at its time limit, or with Ctrl-C.
    """
    limit_s = seconds_of(time_limit)
    if limit_s is None:
        raise SettingsError(
            what=f"Invalid --time-limit {time_limit!r}: expected a number with a unit",
            why=f"the units are {TIME_UNITS}",
            fix="write for example --time-limit 30m",
        )
    with tempfile.TemporaryDirectory(prefix="flowyml-aws-exec-") as name:
        folder = Path(name).resolve()
        found, inner = _run_of(run_id, like).containing(like)
        step = find_step(found, StepChoice(inner, item, allow_pickle), folder)
        job = like_step(step, command, limit_s, folder, backend)
    plan = job.plan()
    _show(plan, job)
    if plan.is_priced and not yes:
        confirm(f"run {shlex.join(command)}?")
    raise typer.Exit(_follow(job.start()))


def _run_of(name: str, step: str) -> FoundRun:
    """Return the run with a name. `latest` names no run of another command.

    Args:
        name: Name of the run.
        step: Step of the run.
    """
    found = locate_run(name)
    pipeline = imitated(found.record.pipeline)
    is_other = name == LATEST and pipeline is not None and step != STEP
    return locate_run(f"{LATEST}:{pipeline}") if is_other else found


def _show(plan: ExecutionPlan, job: CommandJob) -> None:
    say = Terminal(stderr=True, highlight=False)
    say.print(plan_table(plan))
    for asset in job.inputs.assets:
        say.print(f"input: {asset}", markup=False)
    for asset, reason in job.missing.items():
        say.print(f"input that is not stored: {asset} ({reason})", markup=False, style="yellow")
    if plan.is_priced:
        say.print(_price(plan, job.limit_s), markup=False)


def _price(plan: ExecutionPlan, limit_s: float) -> str:
    """Return the cost of the only job of a plan until its time limit, as a sentence."""
    (job,) = plan.jobs
    prices = (job.price_usd_hour, job.highest_price_usd_hour)
    planned, highest = (
        "unknown" if price is None else usd(cost_until(job, price, limit_s)) for price in prices
    )
    return (
        f"cost of {time_text(limit_s)} with the start of the machine: {planned} on {job.machines}, "
        f"at most {highest} on {job.highest_machines}"
    )


def _follow(run: Run) -> int:
    """Print the log of the only job of a run until it ends, and return the exit code."""
    print(f"run {run.id}", file=sys.stderr)
    try:
        for line in run.logs(follow=True):
            print(for_terminal(line.message), flush=True)
        result = run.wait(lambda _: None)
    except (KeyboardInterrupt, Terminated) as end:
        run.cancel()
        print(f"\ncancelled: see `{program()} status {run.id}`", file=sys.stderr)
        return 128 + end.number if isinstance(end, Terminated) else INTERRUPTED
    status = result.status
    duration = time_text(result.duration_seconds)
    print(f"run {run.id}: {status.state_text} after {duration}", file=sys.stderr)
    return 0 if status.state is RunState.SUCCEEDED else RUN_FAILED
