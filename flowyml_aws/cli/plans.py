"""Commands that show a run before it starts: its plan, and the files of its jobs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
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
    NoCache,
    Refresh,
    Spot,
    StopIdleGpu,
    Sweep,
    app,
)
from flowyml_aws.cli.facts import print_json, selection_facts
from flowyml_aws.cli.load import load_pipeline, run_options
from flowyml_aws.client.preview import bundle_limits
from flowyml_aws.core.errors import InvalidPipelineError, SettingsError
from flowyml_aws.packaging.bundle import bundle_notes, make_bundle
from flowyml_aws.packaging.imports import program_imports
from flowyml_aws.packaging.neighbors import with_neighbors
from flowyml_aws.packaging.project import find_project, project_files
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.settings.load import load_settings
from flowyml_aws.view import explanation, plan_table
from flowyml_aws.view.mermaid import machine_text, mermaid
from flowyml_aws.view.terminal import Terminal

__all__ = ["package", "plan"]


@app.command()
def plan(
    file: File,
    backend: Backends = None,
    explain: Annotated[
        str | None, typer.Option(metavar="JOB", help="Explain the instance type of this job.")
    ] = None,
    graph: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw the plan: .html, .mmd (Mermaid) or .md."),
    ] = None,
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
    as_json: AsJson = False,
) -> None:
    """Show what a run would do and cost."""
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
    )
    if explain is not None:
        _, selection = pipeline.explain(explain, **options)
        if as_json:
            print_json(selection_facts(selection))
        else:
            Terminal().print(explanation(selection))
        return
    planned = pipeline.plan(**options)
    if graph is not None:
        _draw(planned, graph)
    if as_json:
        print_json(json.loads(planned.to_json()))
    else:
        Terminal().print(plan_table(planned))
    if problems := pipeline.budget_violations(planned, **options):
        raise InvalidPipelineError(pipeline.name, problems)


def _page(plan: ExecutionPlan) -> str:
    from flowyml_aws.report.plan_page import plan_html  # Jinja2 is not needed otherwise

    return plan_html(plan, {job.name: machine_text(job) for job in plan.jobs})


def _draw(plan: ExecutionPlan, path: Path) -> None:
    drawings: dict[str, Callable[[ExecutionPlan], str]] = {
        ".html": _page,
        ".mmd": mermaid,
        ".md": lambda plan: f"```mermaid\n{mermaid(plan)}```\n",
    }
    draw = drawings.get(path.suffix)
    if draw is None:
        raise SettingsError(
            what=f"Unsupported format of --graph {path}",
            why=f"the suffix of the file selects the format: {', '.join(drawings)}",
            fix=f"write --graph {path.with_suffix('.html')}",
        )
    try:
        path.write_text(draw(plan), "utf-8")
    except OSError as error:
        raise SettingsError(
            what=f"Can't write to {path}", why=str(error), fix="name another file"
        ) from error
    print(f"wrote the plan's graph to {path}", file=sys.stderr)


@app.command()
def package(file: File, as_json: AsJson = False) -> None:
    """List the files that are bundled for the jobs of a pipeline."""
    pipeline = load_pipeline(file)
    steps = pipeline.all_steps
    project = find_project(step.func for step in steps)
    settings = load_settings(project.root, os.environ)
    files = project_files(project.root, settings.include)
    files = with_neighbors(files, program_imports(steps).users, project)
    notes = bundle_notes(files, bundle_limits(settings))
    bundle = make_bundle(files.paths)
    if as_json:
        sizes = {name: path.stat().st_size for name, path in files.paths.items()}
        excluded = {exclusion.path: exclusion.reason for exclusion in files.excluded}
        facts = {"root": str(project.root), "sha256": bundle.sha256}
        print_json({**facts, "files": sizes, "excluded": excluded})
        return
    for name, path in files.paths.items():
        print(f"{path.stat().st_size:>12,}  {name}")
    print(
        f"{bundle.size_bytes:>12,}  bytes in {bundle.files} files, {len(bundle.data):,} compressed"
    )
    for note in notes:
        Terminal(stderr=True).print(f"note: {note}", style="yellow", markup=False)
