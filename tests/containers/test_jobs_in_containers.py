"""Pipelines whose jobs all run in containers, as on AWS."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.images.engine import Engine
from flowyml_aws.testing import Emulator
from flowyml_aws.testing.machines.disks import Disks
from tests.containers.conftest import BASE
from tests.support.queues import make_queue
from tests.support.rigs import BackendRig, eventually
from tests.testing.conftest import BatchClient, TrainingClient

pytestmark = [pytest.mark.system, pytest.mark.thorough, pytest.mark.xdist_group("containers")]

LONG_S = 600

GREEDY = """
from flowyml_aws import Pipeline, step
from flowyml_aws.core.resources import ResourceRequirements

@step(outputs=["size"], resources=ResourceRequirements(cpu="1", memory="256Mi"))
def greedy():
    return len(bytearray(512 * 2**20))

pipeline = Pipeline("greedy").add_step(greedy)
"""

ENDLESS = """
import time
from flowyml_aws import Pipeline, step

@step(outputs=["nothing"])
def endless():
    print("the step runs", flush=True)
    while True:
        time.sleep(0.1)

pipeline = Pipeline("endless").add_step(endless)
"""

METADATA = """
import os, urllib.request
from flowyml_aws import Pipeline, step

@step(outputs=["answer"], cache=False)
def ask():
    url = os.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"] + "latest/api/token"
    ttl = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    try:
        request = urllib.request.Request(url, method="PUT", headers=ttl)
        return str(urllib.request.urlopen(request).status)
    except OSError:
        return "refused"

pipeline = Pipeline("metadata").add_step(ask)
"""

WHO = """
import os
from pathlib import Path
from flowyml_aws import Pipeline, step

@step(outputs=["who"], cache=False)
def who():
    home = Path("~").expanduser()
    (home / "x").touch()
    return f"{os.getuid()} {home}"

pipeline = Pipeline("who").add_step(who)
"""


def write_pipeline(rig: BackendRig, name: str, text: str) -> str:
    file = rig.folder / name
    file.write_text(text, "utf-8")
    return str(file)


def command(rig: BackendRig, *arguments: str) -> tuple[int, str, str]:
    """Run a command, and return its exit code and output.

    The timeout is long: containers start slowly if many tests share the machine.
    """
    with rig.client("-m", "flowyml_aws", *arguments) as process:
        out, err = process.communicate(timeout=LONG_S)
    return process.returncode, out, err


def test_the_emulator_refuses_an_image_that_can_not_run_jobs(engine: Engine) -> None:
    with pytest.raises(SettingsError) as caught:
        Emulator(containers=BASE).start()
    assert caught.value.why.startswith("the image has no flowyml_aws")
    with pytest.raises(SettingsError, match="can't run jobs of the image localhost/none:1"):
        Emulator(containers="localhost/none:1").start()


def test_the_digits_example_runs_each_job_in_its_own_container(
    rig: BackendRig, account: Emulator, engine: Engine
) -> None:
    code, out, err = command(
        rig, "run", "examples/digits/pipeline.py", "--backend", "batch", "--json"
    )
    assert code == 0, err
    (run_id,) = re.findall(r'"run_id": "([^"]+)"', out)
    code, out, _ = command(rig, "get", run_id, "metrics")
    accuracy = re.search(r"accuracy\D+([\d.]+)", out)
    assert accuracy and float(accuracy[1]) > 0.95, out
    jobs = account.client("batch").list_jobs(jobQueue="flowyml-emulator-cpu", jobStatus="SUCCEEDED")
    assert {"prepare", "evaluate"} <= {name_of(job) for job in jobs["jobSummaryList"]}
    remaining = subprocess.run(
        [engine.program, "ps", "--all", "--format", "{{.Names}}"], capture_output=True, text=True
    )
    assert not any(job["jobId"] in remaining.stdout for job in jobs["jobSummaryList"])


def name_of(job: Any) -> str:
    return str(job["jobName"]).rpartition("-")[2]


def test_a_job_that_uses_too_much_memory_is_reported_as_out_of_memory(
    rig: BackendRig, account: Emulator
) -> None:
    code, out, _ = command(
        rig, "run", write_pipeline(rig, "greedy.py", GREEDY), "--backend", "batch", "--json"
    )
    assert code == 1
    (run_id,) = re.findall(r'"run_id": "([^"]+)"', out)
    code, out, _ = command(rig, "status", run_id)
    assert "out of memory: the job exceeded its memory limit of 256 MiB" in " ".join(out.split())
    (summary,) = account.client("batch").list_jobs(
        jobQueue="flowyml-emulator-cpu", filters=[{"name": "JOB_NAME", "values": [f"{run_id}*"]}]
    )["jobSummaryList"]
    assert summary["container"] == {
        "exitCode": 137,
        "reason": "OutOfMemoryError: Container killed due to memory usage",
    }


def test_cancelling_a_run_sends_sigterm_to_its_job(rig: BackendRig, account: Emulator) -> None:
    file = write_pipeline(rig, "endless.py", ENDLESS)
    _, out, _ = command(rig, "run", file, "--backend", "batch", "--detach", "--json")
    (run_id,) = re.findall(r'"run_id": "([^"]+)"', out)
    eventually(lambda: "the step runs" in command(rig, "logs", run_id)[1], "the step")
    command(rig, "cancel", run_id)
    batch = BatchClient(account)
    (summary,) = account.client("batch").list_jobs(
        jobQueue="flowyml-emulator-cpu", filters=[{"name": "JOB_NAME", "values": [f"{run_id}*"]}]
    )["jobSummaryList"]
    job = batch.ended(summary["jobId"])
    # The runner's own exit code, so it had time to exit. After SIGKILL it would be 137.
    assert job["container"]["exitCode"] == 143


@pytest.mark.parametrize(("backend", "user"), [("batch", 10001), ("sagemaker", 0)])
def test_jobs_run_as_root_only_on_sagemaker_and_have_a_home_folder(
    rig: BackendRig, backend: str, user: int
) -> None:
    file = write_pipeline(rig, "who.py", WHO)
    code, out, err = command(rig, "run", file, "--backend", backend, "--json")
    assert code == 0, err
    (run_id,) = re.findall(r'"run_id": "([^"]+)"', out)
    code, out, _ = command(rig, "get", run_id, "who")
    assert out.split() == [str(user), "/job"]


def test_the_driver_of_a_detached_run_does_not_run_as_root(account: Emulator) -> None:
    batch = BatchClient(account)
    ask = "import os; from flowyml_aws.runtime.user import drop_root; drop_root(os.environ)"
    job_id = batch.submit(f"{ask}; print(os.getuid(), os.getgroups(), os.getpid(), os.getcwd())")
    assert batch.ended(job_id)["status"] == "SUCCEEDED"
    assert batch.log(job_id) == ["10001 [] 1 /job"]


def test_a_command_missing_in_the_image_fails_to_start(account: Emulator) -> None:
    batch = BatchClient(account)
    job = batch.ended(batch.submit(containerOverrides={"command": ["no-such-program"]}))
    assert (job["status"], job["statusReason"]) == ("FAILED", "Task failed to start")
    assert job["container"]["reason"].startswith("CannotStartContainerError")


def test_a_missing_image_fails_to_start(account: Emulator) -> None:
    batch = BatchClient(account)
    batch.definition = batch.define("nowhere", containerProperties={"image": "localhost/nowhere:1"})
    job = batch.ended(batch.submit())
    assert (job["status"], job["statusReason"]) == ("FAILED", "Task failed to start")
    assert job["container"]["reason"].startswith(
        "CannotPullContainerError: Error response from daemon: manifest for localhost/nowhere:1"
    )


def test_a_job_that_ignores_sigterm_is_killed_after_the_grace_period(image: dict[str, Any]) -> None:
    # In a separate process with its own emulator, whose grace period is short.
    code = Path(__file__).with_name("stubborn.py")
    done = subprocess.run(
        [sys.executable, str(code), image["image"]], capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == ["FAILED 137 enough"], done.stderr


def test_a_training_job_runs_in_a_container_with_the_sagemaker_folders(account: Emulator) -> None:
    training = TrainingClient(account)
    name = training.create(
        "import os, pathlib; print(os.getuid()); pathlib.Path('/opt/ml/model/m').write_text('it')"
    )
    job = training.ended(name)
    assert job["TrainingJobStatus"] == "Completed", job
    assert training.log(name) == ["0"]
    stored = account.client("s3").list_objects_v2(
        Bucket="flowyml-emulator-123456789012-us-east-1", Prefix=f"flowyml/runs/r/jobs/j/{name}/"
    )
    assert [entry["Key"] for entry in stored["Contents"]] == [
        f"flowyml/runs/r/jobs/j/{name}/output/model.tar.gz"
    ]


def test_the_file_system_of_a_container_is_on_the_disk_of_its_instance(
    account: Emulator, engine: Engine, tmp_path: Path
) -> None:
    if engine.name != "podman":
        pytest.skip("Docker has no option for it")
    if "not limited" in (note := Disks(tmp_path).note(1)):
        pytest.skip(note)
    disk = {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 21}}
    account.client("ec2").create_launch_template(
        LaunchTemplateName="small", LaunchTemplateData={"BlockDeviceMappings": [disk]}
    )
    # Without NVMe disks, which are larger and would replace the volume.
    template = {"launchTemplateName": "small"}
    queue = make_queue(account.client("batch"), "small", ["c6i.large"], launchTemplate=template)
    account.advance(5)  # the queue is VALID
    batch = BatchClient(account)
    code = """
import os, shutil
print(shutil.disk_usage('/').total >> 30)
with open(os.path.expanduser('~/data'), 'wb') as file:
    os.posix_fallocate(file.fileno(), 0, 2 << 30)
"""
    job = batch.ended(job_id := batch.submit(code, jobQueue=queue))
    assert job["status"] == "FAILED"
    log = batch.log(job_id)
    assert log[0] == "1"
    assert log[-1] == "OSError: [Errno 28] No space left on device"


def test_a_step_can_not_reach_the_instance_metadata_but_the_run_records_its_type(
    account: Emulator, rig: BackendRig
) -> None:
    template = {"launchTemplateName": "flowyml-emulator"}
    queue = make_queue(
        account.client("batch"), "flowyml-emulator-one", ["c6i.large"], launchTemplate=template
    )
    account.advance(5)  # the queue is VALID
    rig = replace(rig, environment={**rig.environment, "FLOWYML_AWS_QUEUES": queue})
    file = write_pipeline(rig, "metadata.py", METADATA)
    code, out, err = command(rig, "run", file, "--backend", "batch", "--json")
    assert code == 0, err
    (run_id,) = re.findall(r'"run_id": "([^"]+)"', out)
    _, out, _ = command(rig, "get", run_id, "answer")
    assert out.strip() == "refused"
    _, out, _ = command(rig, "status", run_id, "--json")
    (job,) = json.loads(out)["jobs"]
    assert job["instance_type"] == "c6i.large"
