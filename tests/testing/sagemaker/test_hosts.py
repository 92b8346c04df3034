"""Training jobs on several hosts, each a process."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest

from flowyml_aws.testing import Emulator

pytestmark = pytest.mark.contract

LARGE = "ml.m5.large"
HOST = """
import json, os, pathlib
folder = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"], "input/config")
facts = json.loads((folder / "resourceconfig.json").read_text())
host = facts["current_host"]
"""
PRINT_FACTS = f"""{HOST}
import socket
address = os.environ["FLOWYML_NODE_ADDRESS"]
with socket.create_server((address, 0)):
    print(json.dumps([host, facts["hosts"], address]))
"""
WAIT = """
import signal, sys, time
def leave(number, frame):
    print("leaving", host, flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
print("ready", flush=True)
"""
LEAVE_GRACEFULLY = f"{HOST}{WAIT}time.sleep(60)"
SPOT = {
    "EnableManagedSpotTraining": True,
    "StoppingCondition": {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 7200},
}


def on_hosts(count: int, **members: Any) -> dict[str, Any]:
    return {"InstanceType": LARGE, "InstanceCount": count, "VolumeSizeInGB": 10, **members}


def test_each_host_knows_itself_and_the_others_and_has_its_own_address_and_log(
    training: Any,
) -> None:
    name = training.create(PRINT_FACTS, ResourceConfig=on_hosts(3))
    job = training.ended(name)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    facts = [json.loads(line) for line in training.log(name)]
    names = ["algo-1", "algo-2", "algo-3"]
    assert [(host, hosts) for host, hosts, _ in facts] == [(host, names) for host in names]
    assert len({address for _, _, address in facts}) == 3
    hosts = [stream.split("/")[1].rpartition("-")[0] for stream in training.streams(name)]
    assert hosts == names
    assert job["ResourceConfig"]["InstanceCount"] == 3
    assert training.history(name) == [
        *("Starting", "Downloading", "Training", "Uploading", "Completed")
    ]


def test_a_host_that_fails_ends_the_others_and_fails_the_job(training: Any) -> None:
    name = training.create(LEAVE_GRACEFULLY, ResourceConfig=on_hosts(3))
    training.wait_for_line(name, "ready", times=3)
    pids = training.aws.job_processes()
    assert set(pids) == {name, f"{name}/algo-2", f"{name}/algo-3"}
    os.kill(pids[f"{name}/algo-2"], signal.SIGKILL)
    job = training.ended(name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Failed", "Failed")
    assert job["FailureReason"] == "AlgorithmError: , exit code: 137"
    lines = training.log(name)
    assert [line for line in lines if line != "ready"] == ["leaving algo-1", "leaving algo-3"]


def test_a_stop_ends_all_hosts(training: Any) -> None:
    name = training.create(LEAVE_GRACEFULLY, ResourceConfig=on_hosts(2))
    training.wait_for_line(name, "ready", times=2)
    training.api.stop_training_job(TrainingJobName=name)
    assert training.ended(name)["TrainingJobStatus"] == "Stopped"
    assert {"leaving algo-1", "leaving algo-2"} <= set(training.log(name))
    assert training.aws.job_processes() == {}


def test_a_job_waits_for_its_last_host(training: Any, tmp_path: Any) -> None:
    wait = f"""{HOST}
import time
print("ready", flush=True)
while host == "algo-2" and not os.path.exists({str(tmp_path / "go")!r}):
    time.sleep(0.01)
"""
    name = training.create(wait, ResourceConfig=on_hosts(2))
    training.wait_for_line(name, "ready", times=2)
    assert training.job(name)["TrainingJobStatus"] == "InProgress"
    (tmp_path / "go").touch()
    assert training.ended(name)["TrainingJobStatus"] == "Completed"


def test_all_hosts_start_again_after_an_interruption_of_spot_capacity(
    training: Any, aws: Emulator
) -> None:
    name = training.create(LEAVE_GRACEFULLY, ResourceConfig=on_hosts(2), **SPOT)
    training.wait_for_line(name, "ready", times=2)
    aws.lose_host(name)
    training.wait_for_line(name, "ready", times=4)
    assert len(training.streams(name)) == 4
    training.api.stop_training_job(TrainingJobName=name)
    assert training.ended(name)["TrainingJobStatus"] == "Stopped"


def test_quotas_and_capacity_count_all_instances(training: Any, aws: Emulator) -> None:
    aws.set_quota(LARGE, 3)
    exceeded = training.api.exceptions.ResourceLimitExceeded
    with pytest.raises(exceeded, match="a request delta of 4 Instances"):
        training.create(ResourceConfig=on_hosts(4))
    aws.set_capacity(LARGE, 2)
    job = training.ended(training.create(ResourceConfig=on_hosts(3)))
    assert job["FailureReason"].startswith("CapacityError")
    assert training.ended(training.create(ResourceConfig=on_hosts(2)))["TrainingEndTime"]


def test_a_warm_pool_serves_only_a_job_with_the_same_number_of_instances(
    training: Any, aws: Emulator
) -> None:
    kept = training.create(ResourceConfig=on_hosts(2, KeepAlivePeriodInSeconds=60))
    training.ended(kept)
    training.ended(training.create(ResourceConfig=on_hosts(1)))
    assert training.job(kept)["WarmPoolStatus"]["Status"] == "Available"
    aws.set_quota(LARGE, 3, usage="training warm pool")
    exceeded = training.api.exceptions.ResourceLimitExceeded
    with pytest.raises(exceeded, match="current utilization of 2 Instances"):
        training.create(ResourceConfig=on_hosts(2, KeepAlivePeriodInSeconds=30))
    last = training.create(ResourceConfig=on_hosts(2))
    assert training.job(kept)["WarmPoolStatus"]["ReusedByJob"] == last
