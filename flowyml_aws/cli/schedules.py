"""Commands for schedules, and the hidden command of the job that starts their runs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from flowyml_aws.cli.app import (
    AsJson,
    Backends,
    CheckpointSteps,
    Context,
    ContextFile,
    Env,
    File,
    MaxCost,
    MaxPrice,
    Notify,
    Spot,
    StopIdleGpu,
    Sweep,
    app,
)
from flowyml_aws.cli.confirm import confirm
from flowyml_aws.cli.facts import print_json
from flowyml_aws.cli.load import load_pipeline, run_options
from flowyml_aws.core.schedule_times import schedule_times

__all__ = ["create", "delete", "pause", "scheduled", "unpause"]

schedule = typer.Typer(
    help="Run a pipeline at certain times, without this machine.", no_args_is_help=True
)
app.add_typer(schedule, name="schedule")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the schedule.")]


@schedule.command()
def create(
    file: File,
    cron: Annotated[
        str | None,
        typer.Option(
            metavar="EXPRESSION",
            help="Times with six fields, as of EventBridge: '0 6 * * ? *' for 06:00 every day.",
        ),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(metavar="RATE", help="Interval: '30 minutes', '12 hours' or '1 day'."),
    ] = None,
    time_zone: Annotated[
        str,
        typer.Option("--timezone", metavar="ZONE", help="Time zone of --cron: Europe/Berlin."),
    ] = "UTC",
    name: Annotated[
        str | None, typer.Option(help="Name of the schedule; by default that of the pipeline.")
    ] = None,
    backend: Backends = None,
    context: Context = None,
    context_file: ContextFile = None,
    env: Env = None,
    max_price_usd_hour: MaxPrice = None,
    max_cost_usd: MaxCost = None,
    checkpoint_steps: CheckpointSteps = False,
    spot: Spot = None,
    sweep: Sweep = None,
    stop_idle_gpu: StopIdleGpu = None,
    notify: Notify = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    as_json: AsJson = False,
) -> None:
    """Plan a pipeline, show times and cost, and create the schedule. Not yet run on AWS."""
    from flowyml_aws.view import plan_table
    from flowyml_aws.view.schedules import schedule_lines
    from flowyml_aws.view.terminal import Terminal

    times = schedule_times(cron, rate, time_zone)
    pipeline = load_pipeline(file)
    options = run_options(
        backend,
        context,
        context_file,
        env,
        False,
        None,
        max_price_usd_hour,
        max_cost_usd,
        checkpoint_steps,
        spot,
        sweep,
        stop_idle_gpu,
        notify,
    )
    planned = pipeline.schedule(cron=cron, rate=rate, timezone=time_zone, name=name, **options)
    console = Terminal(stderr=as_json)
    console.print(plan_table(planned.plan))
    console.print(*("", *schedule_lines(planned)), sep="\n", soft_wrap=True, markup=False)
    if not yes:
        confirm(f"Create schedule {planned.name}?")
    created = planned.create()
    if as_json:
        facts = {"expression": times.expression, "timezone": times.zone}
        costs = {"run_usd": planned.run_usd, "month_usd": planned.month_usd}
        print_json({"name": created.name, **facts, **costs})
    else:
        print(f"created schedule {created.name}")


@schedule.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the schedules with their next time, and the last run with its state."""
    from flowyml_aws.client.schedules import list_all
    from flowyml_aws.view.schedules import schedule_table
    from flowyml_aws.view.terminal import Terminal

    found = list_all()
    if as_json:
        print_json(
            [
                {
                    "name": each.name,
                    "expression": each.times.expression,
                    "timezone": each.times.zone,
                    "is_paused": not each.is_enabled,
                    "next_time": each.next_time,
                    "last_run": each.last_run,
                    "state": each.state,
                    "skipped": each.skipped,
                }
                for each in found
            ]
        )
    elif found:
        Terminal(soft_wrap=True).print(schedule_table(found))
    else:
        print("the account has no schedules")


@schedule.command()
def pause(name: Name) -> None:
    """Pause a schedule: its times are left out until it is resumed."""
    from flowyml_aws.client.schedules import set_enabled

    set_enabled(name, False)
    print(f"paused schedule {name}")


@schedule.command("resume")
def unpause(name: Name) -> None:
    """Let a paused schedule continue with its next time."""
    from flowyml_aws.client.schedules import set_enabled

    set_enabled(name, True)
    print(f"resumed schedule {name}")


@schedule.command()
def delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
) -> None:
    """Delete a schedule. Its runs remain."""
    from flowyml_aws.client import schedules

    if not yes:
        confirm(f"Delete schedule {name}?")
    schedules.delete(name)
    print(f"deleted schedule {name}")


@app.command(hidden=True)
def scheduled(template: str, sha256: str, at: str) -> None:
    """Start the run of a schedule at a time, and drive it: the command of its job."""
    from flowyml_aws.cli.runs import follow_to_end
    from flowyml_aws.client.schedules import start_run

    firing, run = start_run(template, sha256, at)
    if run is not None:
        print(f"run {run.id} of the time {at}", file=sys.stderr)
        follow_to_end(run)
    elif firing.unended is not None:
        print(f"skipped the time {at}: run {firing.unended} has not ended", file=sys.stderr)
    else:
        print(f"job {firing.job} has started the run of the time {at}", file=sys.stderr)
