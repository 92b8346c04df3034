"""Shells in jobs on AWS: the requests, and the program that connects the terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from flowyml_aws.aws.batch.definition import JobImage, ensure_definition
from flowyml_aws.aws.batch.shell import knows_shells, open_batch_session, open_batch_shell
from flowyml_aws.aws.sagemaker.shell import open_training_session, open_training_shell
from flowyml_aws.aws.shell_sessions import PLUGIN, end_session
from flowyml_aws.core.errors import AwsRefusedError, StepUnavailableError

TASK = "arn:aws:ecs:eu-west-3:123456789012:task/AWSBatch-cpu-0a1b/f00d"
RUNNING = {"status": "RUNNING", "container": {"taskArn": TASK, "enableExecuteCommand": True}}
TRAINING = {
    "TrainingJobName": "run-train-1",
    "SecondaryStatus": "Training",
    "RemoteDebugConfig": {"EnableRemoteDebug": True},
}
SESSION = {"sessionId": "s-1", "streamUrl": "wss://stream", "tokenValue": "token"}
TASKS = {"tasks": [{"containers": [{"name": "default", "runtimeId": "beef"}]}]}
CALL = {"cluster": "AWSBatch-cpu-0a1b", "task": TASK, "interactive": True, "command": "/bin/sh"}


def client(service: str) -> Any:
    return boto3.Session(
        aws_access_key_id="testing", aws_secret_access_key="testing", region_name="eu-west-3"
    ).client(service)  # type: ignore[call-overload]


@pytest.fixture(autouse=True)
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The Session Manager plugin on the search path."""
    file = tmp_path / PLUGIN
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return file


def test_a_shell_in_a_batch_job_is_a_session_of_its_task() -> None:
    ecs = client("ecs")
    with Stubber(ecs) as answers:
        answers.add_response("describe_tasks", TASKS, {"cluster": CALL["cluster"], "tasks": [TASK]})
        answers.add_response("execute_command", {"session": SESSION}, CALL)
        session = open_batch_shell(ecs, RUNNING, "train", "/bin/sh")
    program, described, region, action, profile, target, endpoint = session.arguments
    assert (program, json.loads(described), region) == (PLUGIN, SESSION, "eu-west-3")
    assert (action, profile) == ("StartSession", "")
    assert json.loads(target) == {"Target": "ecs:AWSBatch-cpu-0a1b_f00d_beef"}
    assert endpoint == "https://ecs.eu-west-3.amazonaws.com"


def test_a_shell_in_a_training_job_is_a_session_of_one_of_its_instances() -> None:
    ssm = client("ssm")
    target = "sagemaker-training-job:run-train-1_algo-2"
    answer = {"SessionId": "s-1", "TokenValue": "token", "StreamUrl": "wss://stream"}
    with Stubber(ssm) as answers:
        answers.add_response("start_session", answer, {"Target": target})
        session = open_training_shell(ssm, TRAINING, "train", 1)
    assert json.loads(session.arguments[1]) == answer
    assert json.loads(session.arguments[5]) == {"Target": target}


def test_a_session_needs_no_plugin_and_can_be_ended(plugin: Path) -> None:
    plugin.unlink()
    ecs, ssm = client("ecs"), client("ssm")
    with Stubber(ecs) as answers:
        answers.add_response("describe_tasks", TASKS)
        answers.add_response("execute_command", {"session": SESSION}, CALL)
        assert open_batch_session(ecs, RUNNING, "train", "/bin/sh").id == "s-1"
    with Stubber(ssm) as answers:
        answers.add_response(
            "start_session", {"SessionId": "s-2", "TokenValue": "token", "StreamUrl": "wss://s"}
        )
        assert open_training_session(ssm, TRAINING, "train", 0).id == "s-2"
        answers.add_client_error("terminate_session", "AccessDeniedException", "no")
        end_session(ssm, "s-2")  # it ends with its job
        answers.add_response("terminate_session", {"SessionId": "s-2"}, {"SessionId": "s-2"})
        end_session(ssm, "s-2")
        answers.assert_no_pending_responses()


@pytest.mark.parametrize("code", ["TargetNotConnectedException", "AccessDeniedException"])
def test_a_session_that_aws_does_not_open_is_an_error_with_a_fix(code: str) -> None:
    ecs = client("ecs")
    with Stubber(ecs) as answers, pytest.raises(AwsRefusedError) as caught:
        answers.add_response("describe_tasks", TASKS)
        answers.add_client_error("execute_command", code, "no")
        open_batch_shell(ecs, RUNNING, "train", "/bin/sh")
    assert "create the account with debug_shell = true" in caught.value.fix


def test_a_job_without_a_shell_is_refused_before_a_call(plugin: Path) -> None:
    plain = {"status": "RUNNING", "container": {"taskArn": TASK}}
    for detail, what in (
        ({"status": "STARTING", "container": {}}, "not running"),
        (plain, "submitted without a shell"),
    ):
        with pytest.raises(StepUnavailableError, match=what):
            open_batch_shell(None, detail, "train", "/bin/sh")
    for training, what in (
        ({**TRAINING, "SecondaryStatus": "Downloading"}, "not running"),
        ({**TRAINING, "RemoteDebugConfig": {}}, "submitted without a shell"),
    ):
        with pytest.raises(StepUnavailableError, match=what):
            open_training_shell(None, training, "train", 0)
    plugin.unlink()
    with pytest.raises(StepUnavailableError, match="not installed"):
        open_batch_shell(None, RUNNING, "train", "/bin/sh")


def test_a_definition_with_shells_is_valid_and_has_a_name_of_its_own() -> None:
    batch = client("batch")
    if not knows_shells(batch):
        pytest.skip("this boto3 can't request shells")
    names = []
    for has_shell in (False, True):
        image = JobImage("image", None, None, "/logs", has_shell)
        registered: dict[str, Any] = {}
        batch = client("batch")
        batch.meta.events.register(
            "provide-client-params.batch.RegisterJobDefinition",
            lambda params, found=registered, **_: found.update(params),
        )
        with Stubber(batch) as answers:
            answers.add_response("describe_job_definitions", {"jobDefinitions": []})
            answers.add_response(
                "register_job_definition",
                {"jobDefinitionName": "d", "jobDefinitionArn": "arn", "revision": 1},
            )
            names.append(ensure_definition(batch, image, 64))
        assert registered["containerProperties"].get("enableExecuteCommand", False) is has_shell
    assert len(set(names)) == 2
