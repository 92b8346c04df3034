from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.testing import Emulator

pytestmark = pytest.mark.contract

BUCKET = "flowyml-emulator-123456789012-us-east-1"


def test_a_client_with_the_environment_uses_the_account(
    aws: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    boto3.session.Session().client("s3").head_bucket(Bucket=BUCKET)
    assert aws.environment["FLOWYML_AWS_STORE"].startswith(f"s3://{BUCKET}/")


def test_its_clients_ignore_aws_settings_of_the_environment(
    aws: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text("[default]\nregion = eu-west-1\nendpoint_url = http://127.0.0.1:1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert aws.client("batch").describe_job_queues(jobQueues=["flowyml-emulator-cpu"])["jobQueues"]


def test_a_client_is_created_once(aws: Emulator) -> None:
    assert aws.client("s3") is aws.client("s3")


def test_each_queue_has_an_environment_for_each_group_of_its_sizes(aws: Emulator) -> None:
    batch = aws.client("batch")
    environments = {
        environment["computeEnvironmentArn"]: environment["computeResources"]
        for environment in batch.describe_compute_environments()["computeEnvironments"]
    }
    types = {}
    for queue in batch.describe_job_queues()["jobQueues"]:
        assert (queue["state"], queue["status"]) == ("ENABLED", "VALID")
        orders = sorted(queue["computeEnvironmentOrder"], key=lambda entry: entry["order"])
        resources = [environments[entry["computeEnvironment"]] for entry in orders]
        assert {r["type"] for r in resources} == {"EC2"}
        types[queue["jobQueueName"]] = [r["instanceTypes"] for r in resources]
    # Drivers use the instances of the CPU queue.
    assert types.pop(aws.environment["FLOWYML_AWS_DRIVER_QUEUE"]) == types["flowyml-emulator-cpu"]
    assert ",".join(types) == aws.environment["FLOWYML_AWS_QUEUES"]
    assert types["flowyml-emulator-h100"] == [["p5.4xlarge"], ["p5.48xlarge"]]
    assert all("." in name for groups in types.values() for group in groups for name in group)


@pytest.mark.parametrize("setting", ["JOB_ROLE", "SAGEMAKER_ROLE", "DRIVER_ROLE"])
def test_each_role_exists(aws: Emulator, setting: str) -> None:
    arn = aws.environment[f"FLOWYML_AWS_{setting}"]
    role = aws.client("iam").get_role(RoleName=arn.rpartition("/")[2])["Role"]
    assert role["Arn"] == arn


def test_successive_emulators_share_no_state(connect: Any) -> None:
    with Emulator() as aws:
        batch = connect(aws)
        job_id = batch.submit()
        batch.ended(job_id)
        aws.client("s3").put_object(Bucket=BUCKET, Key="k", Body=b"")
    with Emulator() as aws:
        assert aws.calls == []
        assert aws.client("s3").list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0
        assert aws.client("batch").describe_jobs(jobs=[job_id])["jobs"] == []
        assert aws.client("batch").describe_job_definitions()["jobDefinitions"] == []


def test_a_second_concurrent_emulator_is_rejected(aws: Emulator) -> None:
    with pytest.raises(SettingsError, match="already running"):
        Emulator().start()
    assert aws.client("s3").list_buckets()["Buckets"]


def test_a_port_in_use_is_an_error_that_names_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"can't listen on port {port}"):
            Emulator(port=port).start()


def test_an_emulator_starts_after_a_failed_start() -> None:
    with pytest.raises(SettingsError):
        Emulator(port=70_000).start()
    with Emulator() as aws:
        assert aws.client("s3").list_buckets()["Buckets"]


def test_a_stopped_emulator_cannot_be_used() -> None:
    with Emulator() as aws:
        pass
    with pytest.raises(SettingsError, match="not running"):
        aws.job_processes()
    aws.stop()  # repeated calls are no-ops


def test_stopping_kills_the_jobs_and_removes_their_files(connect: Any, eventually: Any) -> None:
    with Emulator() as aws:
        batch = connect(aws)
        code = (
            "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "print(os.getcwd()); time.sleep(60)"
        )
        job_id = batch.submit(code, retryStrategy={"attempts": 5})
        (folder,) = eventually(lambda: batch.log(job_id))
        pid = aws.job_processes()[job_id]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not Path(folder).parents[1].exists()


def test_job_processes_are_those_of_running_jobs(
    batch: Any, aws: Emulator, eventually: Any
) -> None:
    job_id = batch.submit("import os, time; print(os.getpid()); time.sleep(60)")
    (pid,) = eventually(lambda: batch.log(job_id))
    assert aws.job_processes() == {job_id: int(pid)}
    aws.client("batch").terminate_job(jobId=job_id, reason="enough")
    batch.ended(job_id)
    assert aws.job_processes() == {}


def test_jobs_are_killed_when_the_interpreter_exits_with_an_exception() -> None:
    code = """
    import time
    from flowyml_aws.testing import Emulator
    aws = Emulator()
    aws.start()
    batch = aws.client("batch")
    needs = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]
    batch.register_job_definition(
        jobDefinitionName="d", type="container",
        containerProperties={
            "image": "i", "command": ["sleep", "60"], "resourceRequirements": needs
        },
    )
    batch.submit_job(jobName="j", jobQueue="flowyml-emulator-cpu", jobDefinition="d")
    while not (running := aws.job_processes()):
        time.sleep(0.01)
    print(*running.values(), flush=True)
    raise RuntimeError("on purpose")
    """
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True
    )
    assert "on purpose" in process.stderr
    assert process.stderr.count("Traceback") == 1, process.stderr
    with pytest.raises(ProcessLookupError):
        os.kill(int(process.stdout), 0)


def test_stopping_restores_motos_instance_families() -> None:
    from moto.ec2.models.instance_types import INSTANCE_FAMILIES

    before = list(INSTANCE_FAMILIES)
    with Emulator():
        assert "p3" in INSTANCE_FAMILIES
    assert before == INSTANCE_FAMILIES


def test_a_conditional_put_has_one_winner(aws: Emulator) -> None:
    s3 = aws.client("s3")

    def put(n: int) -> str:
        try:
            s3.put_object(Bucket=BUCKET, Key="k", Body=str(n).encode(), IfNoneMatch="*")
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "won"

    with ThreadPoolExecutor(8) as pool:
        outcomes = sorted(pool.map(put, range(16)))
    assert outcomes == ["PreconditionFailed"] * 15 + ["won"]


@pytest.mark.parametrize(
    "settings",
    [
        {"time_scale": 0},
        {"stop_grace_s": -1},
        {"training_stop_grace_s": -1},
        {"failed_start_rate": 2},
    ],
)
def test_invalid_times_are_rejected(settings: dict[str, float]) -> None:
    with pytest.raises(SettingsError):
        Emulator(**settings)  # type: ignore[arg-type]
