"""Replay of a step: its inputs from the store, its code, and the checks before it runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowyml_aws.artifacts.errors import PickleRefusedError
from flowyml_aws.artifacts.overlay import OverlayStore
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.client.step_names import named_step
from flowyml_aws.core.errors import StepUnavailableError
from flowyml_aws.core.maps import declared_name
from flowyml_aws.core.nesting import enter_pipeline
from flowyml_aws.job.store import resolve_secret
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.planning.plan import PlannedJob
from flowyml_aws.runtime.attempt import Attempt
from flowyml_aws.runtime.code import load_code, load_current_code
from flowyml_aws.runtime.job import with_items
from flowyml_aws.runtime.parts import lists_to_read
from flowyml_aws.runtime.payload import Payload
from flowyml_aws.runtime.platform import Platform
from flowyml_aws.runtime.replay import (
    Replayed,
    assets_read,
    recorded_sources,
    replay_step,
    spec_of_replay,
)
from flowyml_aws.runtime.result import AttemptEvents, JobResult, StepReport
from flowyml_aws.runtime.secrets import provide_secrets
from flowyml_aws.runtime.spec import JobSpec
from flowyml_aws.services.connect import FoundRun
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.own_runs import is_own_run
from flowyml_aws.submission.record import read_spec
from flowyml_aws.submission.status import RunStatus

__all__ = ["Comparison", "Replay", "ReplayRequest", "replay"]

Function = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """A step to replay.

    Attributes:
        step: Name of the step, or of an item of a mapped step.
        item: Position of the item, if the step is mapped; None if the name contains it.
        is_recorded: Whether the code of the run is used, and not that of the project now.
        allow_pickle: Whether code from the store may run; None for the setting. Without both, only
            if this user started the run on this machine.
        root: The project's folder on this machine.
        folder: Empty folder for everything that is written.
        around: Returns the function that replaces that of the step, such as one in a debugger.
    """

    step: str
    item: int | None
    is_recorded: bool
    allow_pickle: bool | None
    root: Path
    folder: Path
    around: Callable[[Function], Function] = lambda function: function


@dataclass(frozen=True, slots=True)
class Comparison:
    """An output of a replay.

    Attributes:
        value: Its value now.
        ref: Ref of its value now; None if the run does not store it.
        recorded: Ref of the value in the run; None if there is none.
    """

    asset: str
    value: Any
    ref: ArtifactRef | None
    recorded: ArtifactRef | None

    @property
    def is_same(self) -> bool | None:
        """True if both have the same content; None if one of them is not stored."""
        if self.ref is None or self.recorded is None:
            return None
        return self.ref.identity == self.recorded.identity


@dataclass(frozen=True, slots=True)
class Replay:
    """The outcome of a replay, next to that of the run.

    Attributes:
        step: Name of the step.
        outcome: Outcome of the replay.
        recorded: Report of the step in the run; None if it has not started.
        outputs: Outputs, if the step succeeded.
    """

    step: str
    outcome: Replayed
    recorded: StepReport | None
    outputs: tuple[Comparison, ...]


def replay(found: FoundRun, request: ReplayRequest) -> Replay:
    """Execute a step of a run again in this process. Nothing is written to the run's store.

    Environment variables, working directory and modules of this process are then those of the
    step.

    Args:
        found: The run.
        request: The step.

    Raises:
        StepUnavailableError: The run has no such step, or does not have its inputs.
        PickleRefusedError: Code from the store may not run.
        PipelineFileError: The program can't be loaded.
        ArtifactNotFoundError, DamagedArtifactError: A value is missing or damaged.
    """
    driver = found.driver()
    store = OverlayStore(driver.store, DirectoryArtifactStore(request.folder / "store"))
    _check_pickles(driver, request.allow_pickle)
    status = driver.status()
    step = named_step(driver.plan, status.run_id, request.step, request.item)
    attempt = _attempt_of(found, driver, status, store, step, request.folder)
    spec = attempt.spec
    _check_python(spec)
    _check_processes(spec)
    job = next(job for job in driver.plan.jobs if job.name == spec.job)
    payload = _load(store, job, spec, request)
    roots = (request.folder / "code", request.root, Path(spec.code.root))
    outcome = replay_step(attempt, payload, roots, request.folder / "assets", request.around)
    record = _record_of(driver, status, spec.job)
    recorded = {} if record is None else record.assets
    compared = (
        Comparison(asset, value, outcome.refs.get(asset), recorded.get(asset))
        for asset, value in outcome.outputs.items()
    )
    return Replay(step, outcome, status.steps.get(step), tuple(compared))


def _attempt_of(
    found: FoundRun,
    driver: RunDriver,
    status: RunStatus,
    store: ArtifactStore,
    step: str,
    folder: Path,
) -> Attempt:
    """Return an attempt of the job of a step, with the steps that a replay executes."""
    jobs = [job for job in driver.plan.jobs if step in job.steps]
    if not jobs:  # an item of a list that the run has produced: its job knows it
        jobs = [job for job in driver.plan.jobs if declared_name(step) in job.mapped]
    for job in jobs:
        platform = Platform(repetitions=job.repetitions)
        spec = read_spec(driver.store, found.record, job.name)
        attempt = Attempt.begin(spec, store, 1, platform)
        _check_inputs(driver, spec, step, lists_to_read(spec))
        attempt = with_items(attempt, folder / "assets")
        if not any(each.name == step for each in attempt.spec.steps):
            continue
        recorded = recorded_sources(_record_of(driver, status, job.name))
        spec = spec_of_replay(attempt.spec, step, recorded)
        _check_inputs(
            driver, spec, step, {a for each in spec.steps for a in assets_read(spec, each)}
        )
        return attempt.with_spec(spec)
    raise StepUnavailableError(
        f"Run {status.run_id} has no step {step!r}",
        "the list that the step is mapped over has no such item",
        "name an item from 0 on",
    )


def _check_inputs(driver: RunDriver, spec: JobSpec, step: str, assets: Collection[str]) -> None:
    """Check that the values of other jobs exist, or that the run knows why they do not."""
    jobs = {
        asset: source.job
        for asset in assets
        if (source := spec.assets.get(asset)) is not None and source.job is not None
    }
    results = driver.reports.results(set(jobs.values()))
    for asset, job in jobs.items():
        result = results.get(job)
        known = {} if result is None else {**result.assets, **result.skipped, **result.dropped}
        if asset not in known:
            state = "has not ended" if result is None else result.state
            raise StepUnavailableError(
                what=f"Step {step!r} can't run: its input {asset!r} is not stored",
                why=f"job {job!r}, which produces it, {state}",
                fix=f"see `flowyml-aws status {spec.run_id}`, and begin with a step of that job",
            )


def _check_pickles(driver: RunDriver, allow_pickle: bool | None) -> None:
    """Check that code of the store may run: the steps of a job are pickles."""
    run_id = driver.record.run_id
    allowed = driver.allow_pickle if allow_pickle is None else allow_pickle
    if allowed is None:
        allowed = is_own_run(driver.store.uri, run_id)
    if not allowed:
        raise PickleRefusedError(
            what=f"The steps of run {run_id} were not loaded",
            why="they are pickles, which can execute code when they are loaded, and "
            + (
                "the option or the setting forbids it"
                if False in (allow_pickle, driver.allow_pickle)
                else "this user did not start the run on this machine"
            ),
            fix="add --allow-pickle, if you trust everyone who can write to " + driver.store.uri,
        )


def _check_python(spec: JobSpec) -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if version != spec.python:
        raise StepUnavailableError(
            what=f"Python version mismatch: {version} here, {spec.python} in the run",
            why="pickled functions contain bytecode, which differs between minor versions",
            fix=f"use an environment with Python {spec.python}",
        )


def _check_processes(spec: JobSpec) -> None:
    step = spec.steps[-1]
    if any(each.has_other_processes for each in spec.steps):
        raise StepUnavailableError(
            what=f"Step {step.name!r} can't run in one process",
            why="the run has called its function, or that of a step before it, in several "
            "processes at once: on several nodes, or with distributed=",
            fix="replay a step without nodes and distributed=, or call the function in a test",
        )


def _load(store: ArtifactStore, job: PlannedJob, spec: JobSpec, request: ReplayRequest) -> Payload:
    """Make this process a job: set its variables, and load its code."""
    os.environ.update(job.environment)
    provide_secrets(spec.secrets, resolve_secret)
    enter_pipeline(spec.pipeline)
    code = spec.code
    if not request.is_recorded:
        script = code.program.script
        if script is not None and not (request.root / script).is_file():
            raise StepUnavailableError(
                what=f"The program of the run is not in this project: {script}",
                why=f"the project here is {request.root}; on the client, it was {code.root}",
                fix="run the command in the folder of the project, or add --recorded for the code "
                "of the run",
            )
        return load_current_code(store, spec, request.folder, request.root)
    if code.in_place:  # the project may have moved
        code = code.model_copy(update={"root": str(request.root)})
    payload, _ = load_code(store, spec.model_copy(update={"code": code}), request.folder)
    return payload


def _record_of(driver: RunDriver, status: RunStatus, job: str) -> JobResult | AttemptEvents | None:
    """Return what the last attempt of a job has recorded."""
    if (result := driver.reports.result(job)) is not None:
        return result
    attempt = next(view.attempt for view in status.jobs if view.job.name == job)
    return driver.reports.events({job: attempt}).get(job)
