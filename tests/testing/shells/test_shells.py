"""Shells in jobs: ECS Exec, and sessions of AWS Systems Manager."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from flowyml_aws.testing import Emulator
from flowyml_aws.testing.machines.engine_containers import EngineContainer

pytestmark = pytest.mark.contract

WAIT = "print('there', flush=True); import time; time.sleep(100)"
TAGS = {"flowyml-aws:run": "r"}
PLUGIN = "session-manager-plugin"


def of_user(aws: Emulator, service: str) -> Any:
    """Return a client with the permissions of a user of the account."""
    return boto3.session.Session().client(
        service,  # type: ignore[call-overload]
        endpoint_url=aws.endpoint_url,
        region_name=aws.environment["AWS_DEFAULT_REGION"],
        aws_access_key_id=aws.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=aws.environment["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=aws.environment["AWS_SESSION_TOKEN"],
    )


def submit(batch: Any, *, has_shell: bool = True, **members: Any) -> dict[str, Any]:
    """Submit a job that waits, and return the arguments that name its task."""
    container = {
        "enableExecuteCommand": has_shell,
        "jobRoleArn": batch.aws.environment["FLOWYML_AWS_JOB_ROLE"],
    }
    definition = batch.define(f"shell-{has_shell}", containerProperties=container)
    tagged = {"tags": TAGS, "propagateTags": True, **members}
    job_id = batch.submit(WAIT, jobDefinition=definition, **tagged)
    batch.wait_for_line(job_id, "there")
    task = batch.job(job_id)["container"]["taskArn"]
    return {"cluster": task.split("/")[1], "task": task, "job_id": job_id}


def execute(ecs: Any, job: dict[str, Any], command: str = "sh") -> tuple[Any, str]:
    """Open a session, and return it with its target."""
    task = {"cluster": job["cluster"], "task": job["task"]}
    (described,) = ecs.describe_tasks(cluster=job["cluster"], tasks=[job["task"]])["tasks"]
    session = ecs.execute_command(**task, interactive=True, command=command)["session"]
    runtime = described["containers"][0]["runtimeId"]
    return session, f"ecs:{job['cluster']}_{job['task'].rpartition('/')[2]}_{runtime}"


def plugin(aws: Emulator, session: Any, target: str) -> subprocess.Popen[str]:
    """Start the program that connects to a session."""
    request = (json.dumps(session), "us-east-1", "StartSession", "", json.dumps({"Target": target}))
    return subprocess.Popen(
        [aws.programs / PLUGIN, *request, aws.endpoint_url],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def code_of(call: Callable[..., Any], *arguments: Any, **members: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(*arguments, **members)
    return str(caught.value.response["Error"]["Code"])


def test_a_command_runs_in_the_environment_and_folder_of_a_task_until_the_job_ends(
    aws: Emulator, batch: Any
) -> None:
    job = submit(batch)
    command = "sh -c 'echo $AWS_BATCH_JOB_ID; pwd; exec sleep 100'"
    session, target = execute(of_user(aws, "ecs"), job, command)
    with plugin(aws, session, target) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().strip() for _ in range(4)]
        assert lines[1:3] == [
            f"Starting session with SessionId: {session['sessionId']}",
            job["job_id"],
        ]
        assert lines[3].endswith(f"/jobs/{job['job_id']}-1")
        batch.api.terminate_job(jobId=job["job_id"], reason="enough")
        assert f"Exiting session with sessionId: {session['sessionId']}" in process.stdout.read()
    assert process.returncode == 0
    with plugin(aws, session, target) as process:
        assert "The session has ended with its job" in process.communicate()[0]
    assert process.returncode == 1


def test_a_task_has_no_shell_without_the_request_the_tag_or_the_permissions(
    aws: Emulator, batch: Any
) -> None:
    ecs = of_user(aws, "ecs")
    assert code_of(execute, ecs, submit(batch, has_shell=False)) == "InvalidParameterException"
    assert code_of(execute, ecs, submit(batch, propagateTags=False)) == "AccessDeniedException"
    job = submit(batch)
    task = {"cluster": job["cluster"], "task": job["task"], "command": "sh"}
    assert code_of(ecs.execute_command, **task, interactive=False) == "InvalidParameterException"
    iam = aws.client("iam")
    iam.delete_role_policy(RoleName="flowyml-emulator-job", PolicyName="job-shell")
    aws.advance(5)
    assert code_of(execute, ecs, job) == "TargetNotConnectedException"
    iam.delete_role_policy(RoleName="flowyml-emulator-user", PolicyName="user-sessions")
    aws.advance(5)
    assert code_of(execute, ecs, job) == "AccessDeniedException"


def test_a_training_job_has_shells_on_each_host_if_it_was_created_with_them(
    aws: Emulator, training: Any
) -> None:
    ssm = of_user(aws, "ssm")
    tags = [{"Key": name, "Value": value} for name, value in TAGS.items()]
    debug = {"RemoteDebugConfig": {"EnableRemoteDebug": True}}
    names = [
        training.create(WAIT, Tags=tags),
        training.create(WAIT, **debug),
        training.create(WAIT, Tags=tags, **debug),
    ]
    for name in names:
        training.wait_for_line(name, "there")
    without, untagged, name = (f"sagemaker-training-job:{name}" for name in names)
    assert code_of(ssm.start_session, Target=f"{without}_algo-1") == "TargetNotConnected"
    assert code_of(ssm.start_session, Target=f"{untagged}_algo-1") == "AccessDeniedException"
    assert code_of(ssm.start_session, Target=f"{name}_algo-2") == "TargetNotConnected"
    answer = ssm.start_session(Target=f"{name}_algo-1")
    session = {member: answer[member] for member in ("SessionId", "StreamUrl", "TokenValue")}
    with plugin(aws, session, f"{name}_algo-1") as process:  # sh, with an empty stdin
        process.communicate()
    assert process.returncode == 0


def test_a_shell_in_a_container_is_a_program_of_the_engine(tmp_path: Path) -> None:
    container = EngineContainer(["echo"], "job", {"PATH": "/bin:/usr/bin"}, tmp_path, print)
    container._client.wait()
    assert container.enter(["sh", "-c", "ls"], has_terminal=False).arguments == [
        *("echo", "exec", "--interactive", "job", "sh", "-c", "ls"),
    ]
    assert "--tty" in container.enter(["sh"], has_terminal=True).arguments
