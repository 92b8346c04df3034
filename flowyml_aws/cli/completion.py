"""Completion of names in the shell: runs, and the steps, jobs and outputs of a run.

A shell waits for each completion, and shows errors in the middle of the command. So AWS is not
called, and an error completes nothing: runs in S3 are completed if this user started them on this
machine, and the names in a run if it is in the project's local store.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr
from pathlib import Path

import typer

from flowyml_aws.core.folders import project_root
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.settings.load import load_settings
from flowyml_aws.settings.model import Settings
from flowyml_aws.submission.job_names import declared_in, declared_jobs, declared_steps
from flowyml_aws.submission.own_runs import own_runs
from flowyml_aws.submission.record import newest_first, read_plan, read_record, run_ids
from flowyml_aws.submission.run_names import LATEST, matching_runs, names_newest

__all__ = ["complete_approval", "complete_job", "complete_output", "complete_run", "complete_step"]

_MAX_RUNS = 50


def complete_run(incomplete: str) -> list[str]:
    """Return the runs whose names start with the characters, newest first."""
    return _starting(incomplete, lambda: [LATEST, *_known_runs()[:_MAX_RUNS]])


def complete_step(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the steps of the run whose names start with the characters."""
    return _starting(incomplete, lambda: declared_steps(_plan(ctx)))


def complete_job(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the jobs of the run whose names start with the characters."""
    return _starting(incomplete, lambda: declared_jobs(_plan(ctx)))


def complete_output(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the assets and steps of the run whose names start with the characters."""
    return _starting(incomplete, lambda: _outputs(_plan(ctx)))


def complete_approval(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the approvals of the run whose names start with the characters."""
    return _starting(incomplete, lambda: _plan(ctx).approvals)


def _starting(incomplete: str, names: Callable[[], Iterable[str]]) -> list[str]:
    try:
        with redirect_stderr(io.StringIO()):
            return [name for name in names() if name.startswith(incomplete)]
    except Exception:  # whatever it is, the command reports it
        return []


def _local_store() -> DirectoryArtifactStore:
    project = project_root(Path.cwd())
    return DirectoryArtifactStore(project / load_settings(project, os.environ).local_store)


def _known_runs() -> list[str]:
    settings = load_settings(project_root(Path.cwd()), os.environ)
    in_s3 = [run_id for run_id, store in own_runs() if _may_be_store(settings, store)]
    return newest_first({*run_ids(_local_store()), *in_s3})


def _may_be_store(settings: Settings, uri: str) -> bool:
    """Return whether a store may be the project's store in S3."""
    if settings.account is not None and settings.store is None:
        # The account's settings, which name the store, are not read.
        return uri.startswith("s3://")
    return uri == settings.store


def _plan(ctx: typer.Context) -> ExecutionPlan:
    store = _local_store()
    # The arguments are not parsed while the value of an option is missing.
    run_id = ctx.params.get("run_id") or next(iter(ctx.args), LATEST)
    matches = iter(matching_runs(run_id, run_ids(store)))
    if names_newest(run_id):
        matches = (each for each in matches if read_record(store, each).parent is None)
    return read_plan(store, next(matches))


def _outputs(plan: ExecutionPlan) -> list[str]:
    """Return the assets and steps of a plan, without those of items."""
    produced: dict[str, tuple[str, ...]] = {n: step.produces for n, step in plan.reused.items()}
    for job in plan.jobs:
        produced.update(job.produces)
    assets: dict[str, None] = {}
    for step, outputs in produced.items():
        planned = plan.maps.get(declared_in(plan, step))
        assets.update(dict.fromkeys(outputs if planned is None else planned.outputs))
    return list(dict.fromkeys([*assets, *declared_steps(plan)]))
