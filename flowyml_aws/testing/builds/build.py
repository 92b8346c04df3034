"""One build: its state, and its commands as a process of this machine."""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flowyml_aws.core.errors import MissingEngineError
from flowyml_aws.images.engine import find_engine
from flowyml_aws.testing.builds.programs import ENGINE, write_programs
from flowyml_aws.testing.machines.process import JobProcess, start_process

__all__ = ["EmulatedBuild", "commands_of", "run_build"]


@dataclass
class EmulatedBuild:
    """A build.

    Attributes:
        id: Project and UUID, separated by a colon.
        project: Project as CodeBuild describes it.
        source: `BUCKET/KEY` of the context.
        buildspec: Commands, as JSON.
        log_group, log_stream: Place of its log.
        started_at: Time of the request, in seconds since the epoch.
        status: Same as `buildStatus` of CodeBuild.
        phase: Current phase.
        problem: Reason of a failure.
        ended_at: Time of its end, or None.
        process: Its commands, while they run.
    """

    id: str
    project: Mapping[str, Any]
    source: str
    buildspec: str
    log_group: str
    log_stream: str
    started_at: float
    status: str = "IN_PROGRESS"
    phase: str = "QUEUED"
    problem: str = ""
    ended_at: float | None = None
    process: JobProcess | None = field(default=None, repr=False)

    def end(self, status: str, now: float, problem: str = "") -> None:
        """Record the end; no effect if the build has ended."""
        if self.ended_at is None:
            self.status, self.ended_at, self.problem = status, now, problem

    def describe(self) -> dict[str, Any]:
        """Return the build in the form of the API."""
        phases: list[dict[str, Any]] = [
            {"phaseType": "SUBMITTED", "phaseStatus": "SUCCEEDED", "startTime": self.started_at}
        ]
        if self.ended_at is not None and self.problem:
            failed = {
                "phaseType": self.phase,
                "phaseStatus": "FAILED",
                "contexts": [{"statusCode": "COMMAND_EXECUTION_ERROR", "message": self.problem}],
            }
            phases.append(failed)
        ended = {} if self.ended_at is None else {"endTime": self.ended_at}
        return {
            "id": self.id,
            "projectName": self.project["name"],
            "buildStatus": self.status,
            "buildComplete": self.ended_at is not None,
            "currentPhase": "COMPLETED" if ended else self.phase,
            "startTime": self.started_at,
            "phases": phases,
            "logs": {"groupName": self.log_group, "streamName": self.log_stream},
            **ended,
        }


def commands_of(buildspec: str) -> tuple[Sequence[str], Mapping[str, str]]:
    """Return the commands and the variables of a build specification in JSON.

    Raises:
        ValueError: It is not in JSON, or has no phase `build`.
    """
    try:
        document = json.loads(buildspec)
        commands = document["phases"]["build"]["commands"]
        return list(commands), dict(document.get("env", {}).get("variables", {}))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            "YAML_FILE_ERROR: the emulator reads build specifications in JSON with a phase `build`"
        ) from error


def _unpack(archive: bytes, folder: Path) -> None:
    """Unpack a context into a new folder.

    Raises:
        ValueError: It is not a zip file.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            opened.extractall(folder)
    except zipfile.BadZipFile as error:
        raise ValueError(f"Failed to extract the source: {error}") from error


def _environment(
    folder: Path, variables: Mapping[str, str], aws: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment of a build, whose programs are written into a new folder.

    Args:
        folder: Folder of the programs.
        variables: Variables of the build specification.
        aws: Credentials of the build's role, the endpoint and the region.

    Raises:
        MissingEngineError: Neither Docker nor podman works here.
    """
    engine = find_engine()
    folder.mkdir(parents=True)
    write_programs(folder)
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    path = f"{folder}{os.pathsep}{own.get('PATH', os.defpath)}"
    return {**own, **aws, **variables, "PATH": path, ENGINE: f"{engine.name}:{engine.program}"}


def run_build(
    build: EmulatedBuild,
    archive: bytes,
    folder: Path,
    aws: Mapping[str, str],
    write_log: Callable[[list[str]], None],
    has_started: Callable[[JobProcess], None],
) -> str:
    """Run the commands of a build. Return the reason of its failure; empty if it succeeded.

    Args:
        build: The build.
        archive: Its context.
        folder: New folder, which is removed at the end.
        aws: Credentials of the build's role, the endpoint and the region.
        write_log: Called with lines of the log.
        has_started: Called with the process.
    """
    try:
        commands, variables = commands_of(build.buildspec)
        source = folder / "src"
        _unpack(archive, source)
        environment = _environment(folder / "bin", variables, aws)
        script = "\n".join(("set -e", *commands))
        process = JobProcess(
            start_process(["sh", "-c", script], environment, source),
            write_log,
            environment,
            source,
        )
        has_started(process)
        code = process.wait()
    except (ValueError, OSError) as error:
        if isinstance(error, MissingEngineError):
            return f"the emulator can't build images here: {error.why}"
        return str(error)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return (
        "" if code == 0 else f"Error while executing the build commands. Reason: exit status {code}"
    )
