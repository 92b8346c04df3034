"""Replay of a step: its inputs from the store, its code, and the checks before it runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.client.step_of_run import StepChoice, StepOfRun, check_inputs, find_step
from flowyml_aws.core.errors import StepUnavailableError
from flowyml_aws.core.nesting import enter_pipeline
from flowyml_aws.job.store import resolve_secret
from flowyml_aws.runtime.code import load_current_code, load_unpacked, unpack_code
from flowyml_aws.runtime.payload import Payload
from flowyml_aws.runtime.replay import Replayed, assets_read, replay_step, spec_of_replay
from flowyml_aws.runtime.result import StepReport
from flowyml_aws.runtime.secrets import provide_secrets
from flowyml_aws.runtime.spec import JobSpec
from flowyml_aws.services.connect import FoundRun

__all__ = ["Comparison", "Replay", "ReplayRequest", "replay"]

Function = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """A step to replay.

    Attributes:
        choice: Name of the step.
        is_recorded: Whether the code of the run is used, and not that of the project now.
        root: The project's folder on this machine.
        folder: Empty folder for everything that is written.
        around: Returns the function that replaces that of the step, such as one in a debugger.
    """

    choice: StepChoice
    is_recorded: bool
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
    step = find_step(found, request.choice, request.folder)
    name, recorded = step.spec.name, step.recorded
    spec = spec_of_replay(step.attempt.spec, name, recorded)
    read = {asset for each in spec.steps for asset in assets_read(spec, each)}
    check_inputs(step.driver, spec, name, read)
    _check_python(spec)
    _check_processes(spec)
    payload = _load(step, spec, request)
    roots = (request.folder / "code", request.root, Path(spec.code.root))
    attempt = step.attempt.with_spec(spec)
    outcome = replay_step(attempt, payload, roots, request.folder / "assets", request.around)
    refs = {asset: source.ref for asset, source in recorded.items()}
    compared = (
        Comparison(asset, value, outcome.refs.get(asset), refs.get(asset))
        for asset, value in outcome.outputs.items()
    )
    return Replay(name, outcome, step.report, tuple(compared))


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


def _load(step: StepOfRun, spec: JobSpec, request: ReplayRequest) -> Payload:
    """Make this process a job: set its variables, and load its code."""
    os.environ.update(step.job.environment)
    provide_secrets(spec.secrets, resolve_secret)
    enter_pipeline(spec.pipeline)
    code, store = spec.code, step.attempt.store
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
    spec = spec.model_copy(update={"code": code})
    payload, _ = load_unpacked(spec, unpack_code(store, spec, request.folder))
    return payload
