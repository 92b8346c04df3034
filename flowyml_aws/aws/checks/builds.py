"""Check of the project of CodeBuild that builds images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowyml_aws.aws.codebuild import find_project
from flowyml_aws.core.findings import Finding

__all__ = ["check_build_project"]

_ARCHITECTURE = "LINUX_CONTAINER"  # x86-64


def check_build_project(codebuild: Any, name: str) -> Sequence[Finding]:
    """Check that a project exists, and that it can build images for linux/amd64 with Docker.

    Args:
        codebuild: Client of CodeBuild.
        name: Name of the project.

    Raises:
        SettingsError: The project does not exist.
        AwsRefusedError: AWS denied the call.
    """
    environment = find_project(codebuild, name).get("environment", {})
    problems = []
    if not environment.get("privilegedMode"):
        problems.append("its builds can't use Docker (`privilegedMode` is off)")
    if environment.get("type") != _ARCHITECTURE:
        problems.append(f"the type of its machines is {environment.get('type')}")
    if problems:
        return [
            Finding(
                "build-project",
                "warning",
                f"Project {name!r} of CodeBuild can't build images for jobs",
                "; ".join(problems),
                "update the account with infra/, whose option `remote_builds` creates the project",
            )
        ]
    return [Finding("build-project", "ok", f"CodeBuild can build images, in project {name!r}")]
