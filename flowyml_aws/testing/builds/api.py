"""CodeBuild's operations on builds; moto has those on projects.

Differences from AWS: a build runs on this machine, with its Docker or podman, as `programs` says.
It has no time limit. Build specifications are read in JSON only.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import RLock, Thread
from typing import Any

from moto.codebuild.models import codebuild_backends
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from flowyml_aws.testing.api import Handler, Rewrite
from flowyml_aws.testing.builds.build import EmulatedBuild, run_build
from flowyml_aws.testing.clock import Clock
from flowyml_aws.testing.iam.guard import Guard
from flowyml_aws.testing.iam.permissions import Need
from flowyml_aws.testing.iam.principals import AssumeRoleError, Principals
from flowyml_aws.testing.machines.process import JobProcess
from flowyml_aws.testing.refusal import Refusal

__all__ = ["CodeBuildApi", "InvalidInputException", "ResourceNotFoundException"]

_SERVICE = "codebuild.amazonaws.com"
_SESSION = "AWSCodeBuild"


class ResourceNotFoundException(Refusal):
    """The service's error for a project or a build that does not exist."""


class InvalidInputException(Refusal):
    """The service's error for a request with an invalid value."""


class CodeBuildApi:
    """Builds of the account's projects.

    Args:
        lock: Guards all state.
        clock: Clock of the account.
        principals: The account's callers.
        guard: Access control.
        environment: Variables of the endpoint and the region.
        folder: Folder of the builds.
        write_log: Function (group, stream, lines) that writes to a log.

    Attributes:
        handlers: Handlers by operation.
        rewrites: Always empty.
    """

    def __init__(
        self,
        lock: RLock,
        clock: Clock,
        principals: Principals,
        guard: Guard,
        environment: Mapping[str, str],
        folder: Path,
        write_log: Callable[[str, str, list[str]], None],
    ) -> None:
        self._lock = lock
        self._clock = clock
        self._principals = principals
        self._guard = guard
        self._environment = environment
        self._folder = folder
        self._write_log = write_log
        self._builds: dict[str, EmulatedBuild] = {}
        self._tokens: dict[str, EmulatedBuild] = {}
        self.handlers: Mapping[str, Handler] = {
            "StartBuild": self._start,
            "BatchGetBuilds": self._describe,
            "StopBuild": self._stop,
        }
        self.rewrites: Mapping[str, Rewrite] = {}

    def stop(self) -> None:
        """Kill the builds that run."""
        with self._lock:
            for build in self._builds.values():
                self._kill(build)

    def _start(self, request: Mapping[str, Any], region: str, size: int) -> dict[str, Any]:
        token = request.get("idempotencyToken")
        if token in self._tokens:
            return {"build": self._tokens[token].describe()}
        name = str(request.get("projectName"))
        project = codebuild_backends[DEFAULT_ACCOUNT_ID][region].codebuild_projects.get(name)
        if project is None:
            raise ResourceNotFoundException(f"Project cannot be found: {name}")
        described = project.project_metadata
        source = described["source"]
        number = str(uuid.uuid4())
        logs = described.get("logsConfig", {}).get("cloudWatchLogs", {})
        prefix = f"{logs['streamName']}/" if logs.get("streamName") else ""
        build = EmulatedBuild(
            id=f"{name}:{number}",
            project=described,
            source=str(request.get("sourceLocationOverride") or source.get("location")),
            buildspec=str(request.get("buildspecOverride") or source.get("buildspec")),
            log_group=logs.get("groupName") or f"/aws/codebuild/{name}",
            log_stream=f"{prefix}{number}",
            started_at=self._clock.now(),
        )
        self._builds[build.id] = build
        if token:
            self._tokens[token] = build
        Thread(target=self._run, args=(build, region), name=build.id, daemon=True).start()
        return {"build": build.describe()}

    def _describe(self, request: Mapping[str, Any], region: str, size: int) -> dict[str, Any]:
        ids = request.get("ids") or ()
        found = [self._builds[name].describe() for name in ids if name in self._builds]
        return {
            "builds": found,
            "buildsNotFound": [name for name in ids if name not in self._builds],
        }

    def _stop(self, request: Mapping[str, Any], region: str, size: int) -> dict[str, Any]:
        name = str(request.get("id"))
        if name not in self._builds:
            raise ResourceNotFoundException(f"Build {name} does not exist")
        self._kill(self._builds[name])
        return {"build": self._builds[name].describe()}

    def _kill(self, build: EmulatedBuild) -> None:
        if build.ended_at is None:
            build.end("STOPPED", self._clock.now())
            if build.process is not None:
                build.process.kill()

    def _run(self, build: EmulatedBuild, region: str) -> None:
        def write(lines: list[str]) -> None:
            self._write_log(build.log_group, build.log_stream, lines)

        def has_started(process: JobProcess) -> None:
            with self._lock:
                build.phase, build.process = "BUILD", process
                if build.ended_at is not None:  # stopped in the meantime
                    process.kill()

        role = str(build.project["serviceRole"])
        try:
            with self._lock:
                build.phase = "DOWNLOAD_SOURCE"
                keys = self._principals.assume(role, _SESSION, _SERVICE).environment
                archive = self._download(build, role, region)
            write([])
            aws = {**self._environment, **keys}
            folder = self._folder / build.id.rpartition(":")[2]
            problem = run_build(build, archive, folder, aws, write, has_started)
        except (AssumeRoleError, PermissionError, FileNotFoundError) as error:
            problem = str(error)
        with self._lock:
            build.end("FAILED" if problem else "SUCCEEDED", self._clock.now(), problem)

    def _download(self, build: EmulatedBuild, role: str, region: str) -> bytes:
        """Return the context of a build, with the permissions of its role.

        Raises:
            PermissionError: The role does not allow it, or can't write the log.
            FileNotFoundError: The object does not exist.
        """
        bucket, _, key = build.source.partition("/")
        log = (
            f"arn:aws:logs:{region}:{DEFAULT_ACCOUNT_ID}:log-group:{build.log_group}"
            f":log-stream:{build.log_stream}"
        )
        needs = (
            Need("s3:GetObject", f"arn:aws:s3:::{build.source}"),
            Need("s3:GetBucketLocation", f"arn:aws:s3:::{bucket}"),
            Need("logs:CreateLogStream", log),
            Need("logs:PutLogEvents", log),
        )
        if (denied := self._guard.denial(role, _SESSION, needs)) is not None:
            raise PermissionError(f"CLIENT_ERROR: AccessDenied: {denied}")
        stored = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].get_object(bucket, key)
        if stored is None:
            raise FileNotFoundError(f"CLIENT_ERROR: NoSuchKey: {build.source}")
        return bytes(stored.value)
