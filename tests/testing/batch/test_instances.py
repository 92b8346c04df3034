"""The instances of emulated Batch jobs: their types, the jobs that share them, their metadata."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flowyml_aws.testing import Emulator
from flowyml_aws.testing.machines.image_user import can_switch_user
from tests.support.queues import make_queue

pytestmark = pytest.mark.contract

SLEEP = "import time; time.sleep(60)"
PRINT_METADATA = """
import json, os, urllib.request
url = os.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"] + "latest/"
ttl = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
request = urllib.request.Request(url + "api/token", method="PUT", headers=ttl)
token = {"X-aws-ec2-metadata-token": urllib.request.urlopen(request).read().decode()}
paths = "instance-id", "instance-type", "instance-life-cycle", "placement/availability-zone"
ask = lambda path: urllib.request.Request(url + "meta-data/" + path, headers=token)
print(json.dumps([urllib.request.urlopen(ask(path)).read().decode() for path in paths]))
"""
WITHOUT_TOKEN = """
import os, urllib.error, urllib.request
url = os.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"] + "latest/meta-data/instance-type"
try:
    urllib.request.urlopen(url)
except urllib.error.HTTPError as error:
    print(error.code)
"""


AS_ROOT_AND_AS_THE_USER_OF_IMAGES = """
import os, urllib.request
url = os.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"] + "latest/api/token"
ttl = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
def ask():
    try:
        request = urllib.request.Request(url, method="PUT", headers=ttl)
        print(urllib.request.urlopen(request).status)
    except OSError as error:
        print("refused")
ask()
os.setgid(10001)
os.setuid(10001)
ask()
"""
needs_root = pytest.mark.skipif(not can_switch_user(), reason="only root can change its user")


def requirements(vcpus: int, gpus: int = 0) -> dict[str, Any]:
    values = {"VCPU": vcpus, "MEMORY": 1024, **({"GPU": gpus} if gpus else {})}
    return {"resourceRequirements": [{"type": k, "value": str(v)} for k, v in values.items()]}


def metadata(batch: Any, queue: str, **needs: int) -> list[str]:
    """Return what a job in a queue reads from the metadata of its instance."""
    job = batch.submit(PRINT_METADATA, jobQueue=queue, containerOverrides=requirements(**needs))
    assert batch.ended(job)["status"] == "SUCCEEDED"
    values: list[str] = json.loads(batch.log(job)[-1])
    return values


def running(batch: Any, queue: str, **needs: int) -> tuple[str, str]:
    """Start a job, and return its id and its container instance."""
    job = batch.submit(SLEEP, jobQueue=queue, containerOverrides=requirements(**needs))
    described = batch.wait_for_status(job, "RUNNING")
    return job, described["container"]["containerInstanceArn"]


def vcpus(batch: Any, environment: str) -> int:
    (described,) = batch.api.describe_compute_environments(computeEnvironments=[environment])[
        "computeEnvironments"
    ]
    return int(described["computeResources"]["desiredvCpus"])


def test_with_a_family_a_job_that_needs_an_xlarge_starts_on_a_larger_type(batch: Any) -> None:
    queue = make_queue(batch.api, "family", ["g4dn"])
    assert metadata(batch, queue, vcpus=2, gpus=1)[1] in (
        *("g4dn.4xlarge", "g4dn.8xlarge", "g4dn.16xlarge"),
    )


def test_with_sizes_it_starts_on_the_smallest_that_fits(batch: Any) -> None:
    for needed, expected in ((2, "g4dn.xlarge"), (6, "g4dn.2xlarge")):
        assert metadata(batch, "flowyml-emulator-t4", vcpus=needed, gpus=1)[1] == expected


def test_a_job_sees_its_instance_in_the_metadata(batch: Any) -> None:
    instance_id, _, life_cycle, zone = metadata(batch, "flowyml-emulator-t4", vcpus=2, gpus=1)
    assert instance_id.startswith("i-")
    assert (life_cycle, zone[:-1]) == ("on-demand", "us-east-1")


def test_metadata_requires_a_token(batch: Any) -> None:
    job = batch.submit(WITHOUT_TOKEN)
    assert batch.ended(job)["status"] == "SUCCEEDED"
    assert batch.log(job)[-1] == "401"


def answers(batch: Any, queue: str) -> list[str]:
    """Return what a job gets from the metadata service as root, and as the images' user."""
    job = batch.submit(AS_ROOT_AND_AS_THE_USER_OF_IMAGES, jobQueue=queue)
    assert batch.ended(job)["status"] == "SUCCEEDED"
    return list(batch.log(job))


@needs_root
def test_the_user_of_the_images_can_not_reach_the_metadata_but_root_can(batch: Any) -> None:
    assert answers(batch, "flowyml-emulator-cpu") == ["200", "refused"]


@needs_root
def test_without_the_user_data_of_infra_any_user_can_reach_the_metadata(batch: Any) -> None:
    queue = make_queue(batch.api, "plain", ["c6i.large"])  # without a launch template
    assert answers(batch, queue) == ["200", "200"]


@needs_root
def test_the_metadata_can_be_opened_as_a_fault(aws: Emulator, batch: Any) -> None:
    aws.faults.is_metadata_open = True
    assert answers(batch, "flowyml-emulator-cpu") == ["200", "200"]
    aws.faults.is_metadata_open = False
    assert answers(batch, "flowyml-emulator-cpu") == ["200", "refused"]


def test_an_emulator_says_that_jobs_of_its_own_user_reach_the_metadata(aws: Emulator) -> None:
    (line,) = [line for line in aws.describe() if line.startswith("instance metadata: ")]
    assert "jobs can reach it, because " in line


def test_jobs_share_an_instance_that_has_room(batch: Any) -> None:
    queue = make_queue(batch.api, "shared", ["c6i.2xlarge"])
    _, first = running(batch, queue, vcpus=4)
    _, second = running(batch, queue, vcpus=4)
    assert first == second
    assert vcpus(batch, "shared-1") == 8
    _, third = running(batch, queue, vcpus=1)
    assert third != first
    assert vcpus(batch, "shared-1") == 16


@pytest.mark.parametrize(
    ("is_exit_reported", "reason"),
    [(False, "Host EC2 (instance i-"), (True, "Essential container in task exited")],
)
def test_a_lost_instance_takes_all_its_jobs_with_it(
    aws: Emulator, batch: Any, is_exit_reported: bool, reason: str
) -> None:
    queue = make_queue(batch.api, "lost", ["c6i.2xlarge"])
    first, _ = running(batch, queue, vcpus=4)
    second, _ = running(batch, queue, vcpus=4)
    aws.lose_host(first, is_exit_reported=is_exit_reported)
    for job in (first, second):
        assert batch.ended(job)["statusReason"].startswith(reason)


def test_an_environment_exceeds_its_limit_by_one_instance(batch: Any) -> None:
    queue = make_queue(batch.api, "small", ["c6i.4xlarge"], maxvCpus=4)
    running(batch, queue, vcpus=4)
    assert vcpus(batch, "small-1") == 16
    running(batch, queue, vcpus=4)
    running(batch, queue, vcpus=4)
    assert vcpus(batch, "small-1") == 16


def test_an_environment_at_its_limit_leaves_jobs_to_the_next_one_of_the_queue(batch: Any) -> None:
    queue = make_queue(batch.api, "two", ["g4dn.xlarge"], ["g4dn.2xlarge"], maxvCpus=4)
    running(batch, queue, vcpus=4, gpus=1)
    job, _ = running(batch, queue, vcpus=4, gpus=1)
    assert vcpus(batch, "two-1") == 4
    assert vcpus(batch, "two-2") == 8
    waiting = batch.submit(jobQueue=queue, containerOverrides=requirements(4, 1))
    batch.wait_for_status(waiting, "RUNNABLE")
    batch.api.terminate_job(jobId=job, reason="make room")
    assert batch.ended(waiting)["status"] == "SUCCEEDED"


def test_an_idle_instance_ends_after_a_while(aws: Emulator, batch: Any) -> None:
    assert batch.ended(batch.submit())["status"] == "SUCCEEDED"
    assert vcpus(batch, "flowyml-emulator-cpu") > 0
    aws.advance(120)
    assert vcpus(batch, "flowyml-emulator-cpu") == 0


def test_an_instance_whose_only_job_has_ended_is_used_again(batch: Any) -> None:
    first = metadata(batch, "flowyml-emulator-t4", vcpus=2, gpus=1)[0]
    assert metadata(batch, "flowyml-emulator-t4", vcpus=2, gpus=1)[0] == first


def test_a_spot_instance_says_so(batch: Any) -> None:
    queue = make_queue(
        *(batch.api, "spot", ["g4dn.xlarge"]),
        type="SPOT",
        allocationStrategy="SPOT_PRICE_CAPACITY_OPTIMIZED",
    )
    assert metadata(batch, queue, vcpus=2, gpus=1)[2] == "spot"
