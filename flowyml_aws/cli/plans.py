"""Commands that look at what would run, without running it."""

from __future__ import annotations

import json
import os
from typing import Annotated

import typer
from rich.console import Console

from flowyml_aws.cli.app import AsJson, BackendName, File, MaxCost, MaxPrice, app
from flowyml_aws.cli.facts import choice_facts, print_json
from flowyml_aws.cli.load import load_pipeline
from flowyml_aws.core.errors import InvalidPipelineError
from flowyml_aws.packaging.bundle import make_bundle
from flowyml_aws.packaging.project import find_project, project_files
from flowyml_aws.settings import load_settings
from flowyml_aws.view import explanation, plan_table

__all__ = ["package", "plan"]


@app.command()
def plan(
    file: File,
    backend: BackendName = "batch",
    explain: Annotated[
        str | None, typer.Option(metavar="JOB", help="Why this job gets its instance type.")
    ] = None,
    max_price_usd_hour: MaxPrice = None,
    max_cost_usd: MaxCost = None,
    as_json: AsJson = False,
) -> None:
    """Show what a run would do and cost, without doing it."""
    pipeline = load_pipeline(file)
    if explain is not None:
        _, choice = pipeline.explain(explain, backend)
        if as_json:
            print_json(choice_facts(choice))
        else:
            Console().print(explanation(choice))
        return
    decided = pipeline.plan(backend)
    if as_json:
        print_json(json.loads(decided.to_json()))
    else:
        Console().print(plan_table(decided))
    if problems := pipeline.too_dear(decided, max_price_usd_hour, max_cost_usd):
        raise InvalidPipelineError(pipeline.name, problems)


@app.command()
def package(file: File, as_json: AsJson = False) -> None:
    """List the files that travel to the jobs with a pipeline."""
    pipeline = load_pipeline(file)
    project = find_project(step.func for step in pipeline.steps)
    settings = load_settings(project.root, os.environ)
    files = project_files(project.root, settings.include)
    bundle = make_bundle(files)
    if as_json:
        sizes = {name: path.stat().st_size for name, path in files.items()}
        print_json({"root": str(project.root), "sha256": bundle.sha256, "files": sizes})
        return
    for name, path in files.items():
        print(f"{path.stat().st_size:>12,}  {name}")
    print(f"{bundle.size_bytes:>12,}  bytes in {bundle.files} files, {len(bundle.data):,} packed")
    for warning in bundle.warnings:
        Console(stderr=True).print(f"note: {warning}", style="yellow", markup=False)
