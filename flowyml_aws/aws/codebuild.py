"""Builds of AWS CodeBuild: start, look up and stop one.

Not yet run on AWS. Source: the CodeBuild API Reference, StartBuild, BatchGetBuilds and StopBuild.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.errors import error_code, refused
from flowyml_aws.core.errors import FlowymlError, SettingsError

__all__ = ["Build", "describe_build", "find_project", "no_project", "start_build", "stop_build"]

_SUCCEEDED = "SUCCEEDED"
_RUNNING = "IN_PROGRESS"


@dataclass(frozen=True, slots=True)
class Build:
    """A build as CodeBuild reports it.

    Attributes:
        status: IN_PROGRESS, SUCCEEDED, FAILED, FAULT, STOPPED or TIMED_OUT.
        phase: Phase that it is in.
        log_group, log_stream: Place of its log; None before it has one.
        duration_s: Seconds from its request to its end; None before its end.
        problem: Messages of the phases that failed.
        log_tail: Last lines of its log, if it was followed.
    """

    id: str
    status: str
    phase: str
    log_group: str | None
    log_stream: str | None
    duration_s: float | None
    problem: str
    log_tail: tuple[str, ...] = ()

    @property
    def is_running(self) -> bool:
        """True if the build has not ended."""
        return self.status == _RUNNING

    @property
    def has_succeeded(self) -> bool:
        """True if the build ended without an error."""
        return self.status == _SUCCEEDED

    def with_tail(self, lines: tuple[str, ...]) -> Build:
        """Return the build with the last lines of its log."""
        return replace(self, log_tail=lines)


def start_build(
    client: Any,
    project: str,
    source: str,
    buildspec: str,
    token: str,
    *,
    compute_type: str,
    timeout_min: int,
) -> Build:
    """Start a build.

    Args:
        client: Client of CodeBuild.
        project: Name of the project.
        source: Context in S3, as `BUCKET/KEY` of a zip file.
        buildspec: Commands of the build, as JSON or YAML.
        token: Equal for repetitions of the same request, which start no second build.
        compute_type: Machine of the build.
        timeout_min: Time limit in minutes.

    Raises:
        SettingsError: The project does not exist.
        AwsRefusedError: AWS denied the call.
    """
    try:
        started = client.start_build(
            projectName=project,
            sourceTypeOverride="S3",
            sourceLocationOverride=source,
            buildspecOverride=buildspec,
            computeTypeOverride=compute_type,
            timeoutInMinutesOverride=timeout_min,
            idempotencyToken=token,
        )
    except ClientError as error:
        if error_code(error) == "ResourceNotFoundException":
            raise no_project(project) from error
        raise refused(error, f"start a build of the project {project!r}") from error
    except BotoCoreError as error:
        raise refused(error, f"start a build of the project {project!r}") from error
    return _build(started["build"])


def describe_build(client: Any, build_id: str) -> Build:
    """Return the current state of a build.

    Raises:
        FlowymlError: The build does not exist.
        AwsRefusedError: AWS denied the call.
    """
    try:
        builds = client.batch_get_builds(ids=[build_id])["builds"]
    except (ClientError, BotoCoreError) as error:
        raise refused(error, f"look up the build {build_id}") from error
    if not builds:
        raise FlowymlError(
            what=f"Build {build_id} does not exist",
            why="CodeBuild has no build with this id",
            fix="start it again",
        )
    return _build(builds[0])


def stop_build(client: Any, build_id: str) -> None:
    """Stop a build; no effect if it has ended.

    Raises:
        AwsRefusedError: AWS denied the call.
    """
    try:
        client.stop_build(id=build_id)
    except (ClientError, BotoCoreError) as error:
        raise refused(error, f"stop the build {build_id}") from error


def find_project(client: Any, project: str) -> Mapping[str, Any]:
    """Return a project as CodeBuild describes it.

    Raises:
        SettingsError: The project does not exist.
        AwsRefusedError: AWS denied the call.
    """
    try:
        projects: Sequence[Mapping[str, Any]]
        projects = client.batch_get_projects(names=[project])["projects"]
    except (ClientError, BotoCoreError) as error:
        raise refused(error, f"look up the project {project!r} of CodeBuild") from error
    if not projects:
        raise no_project(project)
    return projects[0]


def no_project(name: str) -> SettingsError:
    """Return the error for a project that does not exist."""
    return SettingsError(
        what=f"CodeBuild has no project {name!r}",
        why="the setting `build_project` names it, but this account and region lack it",
        fix="set up the account with the option `remote_builds` of infra/, or correct "
        "`build_project` or the region",
    )


def _build(described: Mapping[str, Any]) -> Build:
    logs = described.get("logs", {})
    start, end = described.get("startTime"), described.get("endTime")
    messages = (
        f"{phase.get('phaseType', '')}: {context['message']}"
        for phase in described.get("phases", ())
        for context in phase.get("contexts", ())
        if phase.get("phaseStatus") not in (None, _SUCCEEDED) and context.get("message")
    )
    return Build(
        id=described["id"],
        status=described["buildStatus"],
        phase=described.get("currentPhase", ""),
        log_group=logs.get("groupName"),
        log_stream=logs.get("streamName"),
        duration_s=None if start is None or end is None else (end - start).total_seconds(),
        problem="; ".join(messages),
    )
