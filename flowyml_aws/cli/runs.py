"""Commands that start, continue, inspect and cancel runs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.cli.app import (
    INTERRUPTED,
    RUN_FAILED,
    AsJson,
    Backends,
    CheckpointSteps,
    Context,
    ContextFile,
    Detach,
    Env,
    File,
    MaxCost,
    MaxPrice,
    NoCache,
    Refresh,
    RunId,
    Spot,
    app,
)
from flowyml_aws.cli.facts import comparison_facts, json_text, print_json, status_facts
from flowyml_aws.cli.load import load_pipeline, run_options
from flowyml_aws.cli.resources import step_resources
from flowyml_aws.cli.save import save_to, show
from flowyml_aws.cli.streams import for_terminal
from flowyml_aws.client.run import Run
from flowyml_aws.core.errors import (
    DamagedArtifactError,
    FlowymlError,
    RunNotFoundError,
    UnloadableValueError,
)
from flowyml_aws.core.termination import Terminated
from flowyml_aws.packaging.project import find_project
from flowyml_aws.planning.services import ServiceTraits, service_traits
from flowyml_aws.services.connect import account_settings, find_run, stores
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.record import RunState, created_at, read_outcome, read_record, run_ids
from flowyml_aws.view import failure_texts, program, sheet_tables, status_table, watching
from flowyml_aws.view.terminal import Terminal

__all__ = ["attach", "cancel", "compare", "get", "logs", "resume", "run", "runs", "status", "why"]

_MAX_BYTES, _MAX_RATIO = 2**30, 1000
_UNKNOWN = "unknown"
_MAX_ASKED = 10
_READERS = 16  # small objects: the time is latency, not bandwidth


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
    )
    started = pipeline.submit(detach=detach, **options)
    # The run is stored in the pipeline's project, which may not be the current folder.
    _follow(started, detach, find_project(s.func for s in pipeline.steps).root, as_json)


@app.command()
def runs(as_json: AsJson = False) -> None:
    """List the runs in the project's local store and in its S3 store, newest first.

    Of the runs that have not ended, the newest 10 are asked for their state.
    """
    project = find_project([]).root
    run_stores = dict.fromkeys(stores(account_settings(project), project).values())
    with ThreadPoolExecutor(_READERS) as pool:
        reads = [
            pool.submit(_run_facts, store, run_id)
            for store in run_stores
            for run_id in run_ids(store)
        ]
        rows = [facts for read in reads if (facts := read.result()) is not None]
        rows.sort(key=lambda row: -float(row["created_at"]))
        unended = [row for row in rows if row["state"] == _UNKNOWN][:_MAX_ASKED]
        for row, state in zip(unended, pool.map(_state_of, unended), strict=True):
            row |= state
    if as_json:
        print_json(rows)
        return
    for row in rows:
        created = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(row["created_at"])))
        line = f"{row['run_id']}  {row['backend'] or '':<15} {row['state']:<15} {created}"
        print(for_terminal(line))
        if row["needs_client"]:
            print(f"  warning: it waits for a client: `flowyml-aws attach {row['run_id']}`")
    if not rows:
        print("no runs yet: start one with `flowyml-aws run FILE`")


@app.command()
def status(run_id: RunId, as_json: AsJson = False) -> None:
    """Show the status of a run."""
    run_status = Run.attach(run_id).status()
    if as_json:
        print_json(status_facts(run_status))
        return
    console = Terminal()
    console.print(status_table(run_status, time.time()))
    console.print(*failure_texts(run_status), sep="", soft_wrap=True)


@app.command()
def attach(run_id: RunId, as_json: AsJson = False) -> None:
    """Continue a run and wait until it finishes; works from any machine."""
    _wait(Run.attach(run_id), as_json)


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
        str | None, typer.Argument(metavar="[JOB]", help="Print only the log of this job.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Continue until the jobs finish.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print the logs of a run."""
    attached = Run.attach(run_id)
    several = job is None and len(attached.plan.jobs) > 1
    if follow and _seems_abandoned(attached):
        print(
            f"no job is running; continue the run with: {program()} attach {run_id}",
            file=sys.stderr,
        )
    for line in attached.logs(job, follow=follow):
        if as_json:
            fact = {"job": line.job, "time_ms": line.time_ms, "message": line.message}
            print(json_text(fact), flush=True)
        else:
            print(_log_text(f"{line.job} | " if several else "", line.message), flush=True)


@app.command()
def why(
    run_id: RunId,
    step: Annotated[str, typer.Argument(metavar="STEP", help="Step of the run.")],
    as_json: AsJson = False,
) -> None:
    """Explain why a step was executed or reused, compared with the previous run."""
    reason = Run.attach(run_id).why(step)
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
        print(f"{run_id}: {state.value}{stopping}")


@app.command()
def get(
    run_id: RunId,
    asset: Annotated[str, typer.Argument(help="Name of an asset or of a step.")],
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
    """Print an output of a run, or write it to a file."""
    attached = Run.attach(run_id, allow_pickle=allow_pickle)
    refs = attached.refs(asset)
    if as_json:
        print_json({name: json.loads(ref.to_json()) for name, ref in refs.items()})
        if out is None:
            return
    if not large:
        _check_expansion(refs)
    value = attached.outputs[asset]
    if out is None:
        print(for_terminal(show(value)))
        return
    file_format = save_to(value, out)
    print(f"wrote {file_format} to {out}", file=sys.stderr)


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


def _wait(started: Run, as_json: bool) -> NoReturn:
    try:
        with watching(started) as watch:
            result = started.wait(watch)
    except (KeyboardInterrupt, Terminated) as end:
        started.leave()  # the interrupt may be from before `wait`
        services = _services(started)
        states = "; ".join(dict.fromkeys(traits.on_departure for traits in services))
        print(f"\ndetached from run {started.id}: {states}", file=sys.stderr)
        print(f"continue with: {program()} attach {started.id}", file=sys.stderr)
        if any(traits.outlives_client for traits in services):
            print(f"cancel it with: {program()} cancel {started.id}", file=sys.stderr)
        sys.exit(128 + end.number if isinstance(end, Terminated) else INTERRUPTED)
    if as_json:
        print_json(result.to_dict())
    else:
        lost = f"; {result.lost_attempts}" if result.lost_attempts.count else ""
        print(f"run {started.id}: {result.state} after {result.duration_seconds:.1f} s{lost}")
    sys.exit(0 if result.status.state is RunState.SUCCEEDED else RUN_FAILED)


def _run_facts(store: ArtifactStore, run_id: str) -> dict[str, Any] | None:
    facts = {
        "run_id": run_id,
        "pipeline": None,
        "backend": None,
        "state": "unreadable",
        "created_at": created_at(run_id),
        "store": store.uri,
        "needs_client": False,
    }
    try:
        record = read_record(store, run_id)
        facts |= {
            "pipeline": record.pipeline,
            "backend": record.backend,
            "created_at": record.created_at,
        }
        outcome = read_outcome(store, run_id)
        facts["state"] = outcome.state.value if outcome else _UNKNOWN
    except RunNotFoundError:
        return None  # its client stopped before it had written the record
    except DamagedArtifactError:
        pass  # `status` reports the reason
    return facts


def _state_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of a run that has not ended, and whether it waits for a client."""
    try:
        status = find_run(row["run_id"]).status()
    except FlowymlError:
        return {}  # `status` reports the reason
    needs_client = any(view.needs_client for view in status.jobs)
    return {"state": status.state.value, "needs_client": needs_client}


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
