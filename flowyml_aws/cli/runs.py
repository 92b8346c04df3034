"""Commands that start, continue, inspect and cancel runs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.cli.app import (
    INTERRUPTED,
    RUN_FAILED,
    AsJson,
    Backends,
    CheckpointSteps,
    Context,
    ContextFile,
    DebugShell,
    Detach,
    Env,
    File,
    MaxCost,
    MaxPrice,
    NoCache,
    Notify,
    Refresh,
    RunId,
    Spot,
    StopIdleGpu,
    Sweep,
    app,
)
from flowyml_aws.cli.completion import complete_job, complete_output, complete_step
from flowyml_aws.cli.facts import (
    comparison_facts,
    json_text,
    output_facts,
    print_json,
    status_facts,
)
from flowyml_aws.cli.load import load_pipeline, run_options
from flowyml_aws.cli.resources import step_resources
from flowyml_aws.cli.save import item_names, save_list, save_to, show
from flowyml_aws.cli.streams import for_terminal
from flowyml_aws.client.result import PipelineResult
from flowyml_aws.client.run import Run, Watcher
from flowyml_aws.core.amounts import counted
from flowyml_aws.core.errors import (
    FlowymlError,
    SettingsError,
    UnloadableValueError,
)
from flowyml_aws.core.termination import Terminated
from flowyml_aws.packaging.project import find_project
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.planning.services import ServiceTraits, service_traits
from flowyml_aws.planning.wording import time_text
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.job_names import find_jobs
from flowyml_aws.submission.record import RunState
from flowyml_aws.submission.status import item_notes
from flowyml_aws.view import (
    expected_duration_s,
    failure_texts,
    job_table,
    program,
    sheet_tables,
    status_table,
    watching,
)
from flowyml_aws.view.outputs import MAX_OUTPUTS, ending, outputs_table
from flowyml_aws.view.terminal import Terminal

__all__ = [
    "attach",
    "cancel",
    "compare",
    "follow_to_end",
    "get",
    "logs",
    "resume",
    "run",
    "status",
    "why",
]

_MAX_BYTES, _MAX_RATIO = 2**30, 1000


@app.command()
def run(
    file: File,
    backend: Backends = None,
    context: Context = None,
    context_file: ContextFile = None,
    env: Env = None,
    no_cache: NoCache = False,
    refresh: Refresh = None,
    max_price_usd_hour: MaxPrice = None,
    max_cost_usd: MaxCost = None,
    checkpoint_steps: CheckpointSteps = False,
    spot: Spot = None,
    sweep: Sweep = None,
    stop_idle_gpu: StopIdleGpu = None,
    notify: Notify = None,
    debug_shell: DebugShell = False,
    detach: Detach = False,
    as_json: AsJson = False,
) -> None:
    """Run a pipeline and wait until it finishes."""
    pipeline = load_pipeline(file)
    options = run_options(
        backend,
        context,
        context_file,
        env,
        no_cache,
        refresh,
        max_price_usd_hour,
        max_cost_usd,
        checkpoint_steps,
        spot,
        sweep,
        stop_idle_gpu,
        notify,
    )
    if debug_shell:
        options["debug_shell"] = True
    started = pipeline.submit(detach=detach, **options)
    # The run is stored in the pipeline's project, which may not be the current folder.
    _follow(started, detach, find_project(s.func for s in pipeline.all_steps).root, as_json)


@app.command()
def status(
    run_id: RunId,
    job: Annotated[
        str | None,
        typer.Option(
            "--job",
            metavar="JOB",
            help="Show only this job, or the jobs of this step, item or sub-pipeline, with every "
            "item. STEP/JOB is a job in the pipeline that a dynamic step has returned.",
            autocompletion=complete_job,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the status of a run."""
    attached = Run.attach(run_id)
    if job is not None:
        attached, job = attached.containing(job)
    run_status = attached.status()
    selected = None if job is None else find_jobs(attached.plan, job, attached.id)
    if as_json:
        print_json(status_facts(run_status, selected))
        return
    console = Terminal()
    if selected is not None:
        console.print(job_table(run_status, selected, time.time()))
        return
    expected_s = expected_duration_s(attached.plan)
    console.print(status_table(run_status, time.time(), expected_s))
    console.print(*failure_texts(run_status), sep="", soft_wrap=True)
    if run_status.state is not RunState.RUNNING:
        console.print(*attached.notice_lines(), sep="\n", soft_wrap=True, markup=False)


@app.command()
def attach(
    run_id: RunId,
    until_approval: Annotated[
        bool,
        typer.Option(
            "--until-approval", help="End also when only an approval can continue the run."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Continue a run and wait until it finishes; works from any machine."""
    attached = Run.attach(run_id)
    _wait(attached, as_json, attached.wait_for_approval if until_approval else attached.wait)


@app.command()
def resume(
    run_id: RunId,
    resources: Annotated[
        list[str] | None,
        typer.Option(
            "--resources",
            metavar="STEP=NAME=VALUE,…",
            help="Other resources for the job of a step: cpu, memory, storage, gpu, gpu_count; "
            "repeatable.",
        ),
    ] = None,
    max_price_usd_hour: MaxPrice = None,
    max_cost_usd: MaxCost = None,
    detach: Detach = False,
    as_json: AsJson = False,
) -> None:
    """Continue a failed or cancelled run as a new run, from what is finished."""
    started = Run.attach(run_id).resume(
        step_resources(resources or ()),
        max_price_usd_hour=max_price_usd_hour,
        max_cost_usd=max_cost_usd,
        detach=detach,
    )
    _follow(started, detach, find_project([]).root, as_json)


@app.command()
def logs(
    run_id: RunId,
    job: Annotated[
        str | None,
        typer.Argument(
            metavar="[JOB]",
            help="Print only the log of this job, or of the jobs of this step, item or "
            "sub-pipeline. STEP/JOB is a job in the pipeline that a dynamic step has returned.",
            autocompletion=complete_job,
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Continue until the jobs finish.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print the logs of a run."""
    attached = Run.attach(run_id)
    if job is not None:
        attached, job = attached.containing(job)
    jobs = attached.plan.jobs if job is None else find_jobs(attached.plan, job, attached.id)
    several = len(jobs) > 1
    if follow and _seems_abandoned(attached):
        print(
            f"no job is running; continue the run with: {program()} attach {attached.id}",
            file=sys.stderr,
        )
    is_empty = True
    for line in attached.logs(job, follow=follow):
        is_empty = False
        if as_json:
            fact = {"job": line.job, "time_ms": line.time_ms, "message": line.message}
            print(json_text(fact), flush=True)
        else:
            print(_log_text(f"{line.job} | " if several else "", line.message), flush=True)
    if is_empty and job is not None:
        names = {each.name for each in jobs}
        states = Counter(v.state_name for v in attached.status().jobs if v.job.name in names)
        text = ", ".join(f"{counted(count, 'job')} {state}" for state, count in states.items())
        print(f"no log of {job}: {text}", file=sys.stderr)


@app.command()
def why(
    run_id: RunId,
    step: Annotated[
        str, typer.Argument(metavar="STEP", help="Step of the run.", autocompletion=complete_step)
    ],
    as_json: AsJson = False,
) -> None:
    """Explain why a step was executed or reused, compared with the previous run."""
    run, name = Run.attach(run_id).containing(step)
    reason = run.why(name)
    if as_json:
        print_json(asdict(reason))
    else:
        print(for_terminal("\n".join(reason.lines())))


@app.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="RUN", help="Id of the first run (A).")],
    second: Annotated[str, typer.Argument(metavar="RUN", help="Id of the second run (B).")],
    everything: Annotated[
        bool, typer.Option("--all", help="Also show what is the same in both runs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare two runs: parameters, code, packages, inputs, metrics, times and costs."""
    comparison = Run.attach(first).compare(second)
    if as_json:
        print_json(comparison_facts(comparison, everything))
    else:
        Terminal().print(sheet_tables(comparison.sheets(everything)))


@app.command()
def cancel(run_id: RunId, as_json: AsJson = False) -> None:
    """Cancel a run: stop its running jobs, and start no others."""
    attached = Run.attach(run_id)
    ending = attached.cancel()
    run_status = attached.status()
    # A copy of a job may still be ending that the status does not show.
    state = RunState.RUNNING if ending else run_status.state
    if as_json:
        print_json({**status_facts(run_status), "state": state.value, "ending": [*ending]})
    else:
        stopping = " (its jobs are being stopped)" if state is RunState.RUNNING else ""
        print(f"{attached.id}: {state.value}{stopping}")


@app.command()
def get(
    run_id: RunId,
    asset: Annotated[
        str | None,
        typer.Argument(
            metavar="[ASSET]",
            help="Name of an asset or of a step; without it, list the outputs.",
            autocompletion=complete_output,
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the value to this file.")] = None,
    allow_pickle: Annotated[
        bool | None,
        typer.Option(
            "--allow-pickle/--no-pickle",
            help="Load or refuse formats that can execute code (pickle). By default, they are "
            "loaded if you started the run on this machine.",
            show_default=False,
        ),
    ] = None,
    large: Annotated[
        bool, typer.Option("--large", help="Also a value over 1 GiB, compressed 1,000 times.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the outputs of a run, print one, or write it to a file."""
    attached = Run.attach(run_id, allow_pickle=allow_pickle)
    if asset is None:
        _list_outputs(attached, out, as_json)
        return
    attached, asset = attached.containing(asset)
    refs = attached.refs(asset)
    if as_json:
        print_json({name: json.loads(ref.to_json()) for name, ref in refs.items()})
        if out is None:
            return
    if not large:
        _check_expansion(refs)
    outputs = attached.outputs
    value = outputs[asset]
    if out is None:
        print(for_terminal(show(value)))
        return
    if outputs.is_list(asset):
        names = item_names(asset, list(refs), len(value))
        file_format = save_list(dict(zip(names, value, strict=True)), out)
    else:
        file_format = save_to(value, out)
    print(f"wrote {file_format} to {out}", file=sys.stderr)


def _list_outputs(attached: Run, out: Path | None, as_json: bool) -> None:
    if out is not None:
        raise SettingsError(
            what="--out without the name of an output",
            why="a file contains one value",
            fix=f"name an output; list them with `flowyml-aws get {attached.id}`",
        )
    if as_json:
        print_json([output_facts(output) for output in attached.stored()])
        return
    listed, missing = attached.listed(), attached.missing()
    if not listed and not missing:
        print(f"run {attached.id} has no outputs")
    Terminal().print(outputs_table(listed, missing))


def _follow(started: Run, detach: bool, project: Path, as_json: bool) -> None:
    """Wait for a run that has been started, or let it continue without this process."""
    if not detach:
        _wait(started, as_json)
    if not all(traits.outlives_client for traits in _services(started)):
        _drive_in_background(started.id, project)
    if as_json:
        print_json({"run_id": started.id})
    else:
        print(f"{started.id}\nfollow it with: {program()} attach {started.id}")


def _check_expansion(refs: Mapping[str, ArtifactRef]) -> None:
    """Refuse values that fill this machine although their objects are small."""
    for asset, ref in refs.items():
        if ref.value_bytes > max(_MAX_BYTES, _MAX_RATIO * ref.size_bytes):
            raise UnloadableValueError(
                what=f"The value of asset {asset!r} was not read: it is unusually large",
                why=f"its object has {ref.size_bytes:,} bytes, and the value {ref.value_bytes:,}",
                fix="add --large if the step returns that much, and this machine has the space",
            )


def _wait(
    started: Run,
    as_json: bool,
    wait: Callable[[Watcher | None], PipelineResult] | None = None,
) -> NoReturn:
    """Wait for a run, with `Run.wait` by default, print its end, and exit."""
    try:
        with watching(started) as watch:
            result = (wait or started.wait)(watch)
    except (KeyboardInterrupt, Terminated) as end:
        started.leave()  # the interrupt may be from before `wait`
        services = _services(started)
        states = "; ".join(
            dict.fromkeys(_on_departure(traits, started.plan) for traits in services)
        )
        print(f"\ndetached from run {started.id}: {states}", file=sys.stderr)
        print(f"continue with: {program()} attach {started.id}", file=sys.stderr)
        if any(traits.outlives_client for traits in services):
            print(f"cancel it with: {program()} cancel {started.id}", file=sys.stderr)
        sys.exit(128 + end.number if isinstance(end, Terminated) else INTERRUPTED)
    if as_json:
        print_json(result.to_dict())
    else:
        lost = f"; {result.lost_attempts}" if result.lost_attempts.count else ""
        dropped = "".join(f"; {note}" for note in item_notes(result.status))
        duration = time_text(result.duration_seconds)
        line = f"run {started.id}: {result.status.state_text} after {duration}{lost}{dropped}"
        print(for_terminal(line), flush=True)
        _print_ending(started, result)
    is_good = result.status.state is RunState.SUCCEEDED or result.status.waits_for_approval
    sys.exit(0 if is_good else RUN_FAILED)


def follow_to_end(run: Run) -> NoReturn:
    """Drive a run until it ends or only waits for an approval, print its end, and exit."""
    _wait(run, as_json=False, wait=run.wait_for_approval if run.plan.approvals else run.wait)


def _on_departure(traits: ServiceTraits, plan: ExecutionPlan) -> str:
    """Return the state of a service's jobs after their client has left, as a clause."""
    if traits.starts_after_parents and any(
        (job.held or job.expansions) and job.backend == traits.name for job in plan.jobs
    ):
        return f"{traits.on_departure}, jobs that wait for decisions or pipelines need a client"
    return traits.on_departure


def _print_ending(ended: Run, result: PipelineResult) -> None:
    # Only information: without it, the run has ended as well.
    with suppress(FlowymlError):
        outputs, total = ended.listed(last=MAX_OUTPUTS), result.outputs.number_of_assets
        Terminal().print(ending(result.status, ended.plan, outputs, total, ended.savings()))
        if result.status.state is not RunState.RUNNING:
            for line in ended.notice_lines():
                print(for_terminal(line))


def _log_text(prefix: str, message: str) -> str:
    """Return a line of a log; on a terminal, without what a progress bar has overwritten."""
    if sys.stdout.isatty():
        message = message.rpartition("\r")[2]
    return for_terminal(prefix + message)


def _seems_abandoned(attached: Run) -> bool:
    """Return whether a local run seems to have no client; between two jobs, every run does."""
    status = attached.status()
    states = {view.state for view in status.jobs}
    is_local = not any(traits.outlives_client for traits in _services(attached))
    return is_local and status.state is RunState.RUNNING and JobState.RUNNING not in states


def _services(started: Run) -> list[ServiceTraits]:
    """Return the traits of the services that a run's jobs use."""
    return [
        service_traits(name) for name in dict.fromkeys(job.backend for job in started.plan.jobs)
    ]


def _drive_in_background(run_id: str, project: Path) -> None:
    """Continue a local run in a process that outlives this one."""
    subprocess.Popen(
        [sys.executable, "-m", "flowyml_aws", "attach", run_id],
        cwd=project,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
