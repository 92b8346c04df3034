"""Requests to CodeBuild, as its model accepts them, and its answers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import botocore.session
import pytest
from botocore.stub import Stubber

from flowyml_aws.aws.codebuild import Build, describe_build, find_project, start_build, stop_build
from flowyml_aws.core.errors import AwsRefusedError, FlowymlError, SettingsError

START = datetime(2026, 12, 1, tzinfo=timezone.utc)
REQUEST = {
    "projectName": "flowyml-main-images",
    "sourceTypeOverride": "S3",
    "sourceLocationOverride": "bucket/flowyml/code/contexts/ab.zip",
    "buildspecOverride": "{}",
    "computeTypeOverride": "BUILD_GENERAL1_MEDIUM",
    "timeoutInMinutesOverride": 60,
    "idempotencyToken": "token",
}
FAILED = {
    "id": "p:1",
    "buildStatus": "FAILED",
    "currentPhase": "COMPLETED",
    "startTime": START,
    "endTime": START + timedelta(seconds=90),
    "logs": {"groupName": "/flowyml-aws/main", "streamName": "image-builds/1"},
    "phases": [
        {"phaseType": "DOWNLOAD_SOURCE", "phaseStatus": "SUCCEEDED", "contexts": [{}]},
        {
            "phaseType": "BUILD",
            "phaseStatus": "FAILED",
            "contexts": [{"statusCode": "COMMAND_EXECUTION_ERROR", "message": "exit status 1"}],
        },
        {"phaseType": "COMPLETED"},
    ],
}


@pytest.fixture
def codebuild() -> Iterator[Stubber]:
    client = botocore.session.get_session().create_client(
        "codebuild", "us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    with Stubber(client) as stub:
        yield stub
        stub.assert_no_pending_responses()


def start(client: Any) -> Build:
    return start_build(
        client,
        "flowyml-main-images",
        "bucket/flowyml/code/contexts/ab.zip",
        "{}",
        "token",
        compute_type="BUILD_GENERAL1_MEDIUM",
        timeout_min=60,
    )


def test_a_build_is_started_with_its_own_context_commands_machine_and_limit(
    codebuild: Stubber,
) -> None:
    answer = {"build": {"id": "p:1", "buildStatus": "IN_PROGRESS", "currentPhase": "QUEUED"}}
    codebuild.add_response("start_build", answer, REQUEST)
    build = start(codebuild.client)
    assert build.is_running
    assert (build.id, build.log_group, build.duration_s) == ("p:1", None, None)


def test_a_failed_build_has_the_messages_of_the_failed_phases_and_its_duration(
    codebuild: Stubber,
) -> None:
    codebuild.add_response("batch_get_builds", {"builds": [FAILED]}, {"ids": ["p:1"]})
    build = describe_build(codebuild.client, "p:1")
    assert (build.is_running, build.has_succeeded) == (False, False)
    assert (build.problem, build.duration_s) == ("BUILD: exit status 1", 90.0)
    assert (build.log_group, build.log_stream) == ("/flowyml-aws/main", "image-builds/1")


def test_a_missing_project_names_the_option_of_infra(codebuild: Stubber) -> None:
    codebuild.add_client_error("start_build", "ResourceNotFoundException")
    codebuild.add_response("batch_get_projects", {"projects": [], "projectsNotFound": ["p"]})
    with pytest.raises(SettingsError, match="remote_builds"):
        start(codebuild.client)
    with pytest.raises(SettingsError, match="remote_builds"):
        find_project(codebuild.client, "p")


def test_a_missing_build_is_an_error(codebuild: Stubber) -> None:
    codebuild.add_response("batch_get_builds", {"builds": [], "buildsNotFound": ["p:1"]})
    with pytest.raises(FlowymlError, match="p:1 does not exist"):
        describe_build(codebuild.client, "p:1")


def test_denied_calls_are_reported(codebuild: Stubber) -> None:
    for operation in ("start_build", "batch_get_builds", "stop_build", "batch_get_projects"):
        codebuild.add_client_error(operation, "AccessDeniedException")
    for call in (
        lambda: start(codebuild.client),
        lambda: describe_build(codebuild.client, "p:1"),
        lambda: stop_build(codebuild.client, "p:1"),
        lambda: find_project(codebuild.client, "p"),
    ):
        with pytest.raises(AwsRefusedError):
            call()
