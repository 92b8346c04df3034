"""The disk of jobs on Batch: a limit of the plan, and of the job."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flowyml_aws.core.errors import InvalidPipelineError
from flowyml_aws.testing import Emulator
from flowyml_aws.testing.machines.disks import Disks
from tests.support.rigs import BackendRig

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("disks")]

QUEUE = "flowyml-emulator-cpu"


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    """An account whose CPU instances have a volume of 22 GiB, and 2 GiB of it for jobs."""
    with Emulator() as aws:
        disk = {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 22}}
        aws.client("ec2").create_launch_template(
            LaunchTemplateName="small", LaunchTemplateData={"BlockDeviceMappings": [disk]}
        )
        batch = aws.client("batch")
        batch.update_compute_environment(
            computeEnvironment=QUEUE,
            computeResources={"launchTemplate": {"launchTemplateName": "small"}},
        )
        (queue,) = batch.describe_job_queues(jobQueues=[QUEUE])["jobQueues"]
        batch.tag_resource(resourceArn=queue["jobQueueArn"], tags={"flowyml-aws:disk-gib": "2"})
        yield aws


@pytest.fixture
def rig(aws: Emulator, tmp_path: Path) -> Iterator[BackendRig]:
    settings = {**aws.environment, "FLOWYML_AWS_QUEUES": QUEUE}
    rig = BackendRig("batch", tmp_path / "project", settings)
    with rig.entered():
        yield rig


def test_a_job_that_requests_more_than_the_disk_is_refused_before_submission(
    aws: Emulator, rig: BackendRig
) -> None:
    with pytest.raises(InvalidPipelineError, match="raise volume_gib") as caught:
        rig.pipeline("filling:honest").run(backend="batch")
    assert "no type has more than 2Gi storage" in str(caught.value)
    assert aws.job_processes() == {}


def test_a_step_that_fills_the_disk_fails_with_its_size_and_the_argument(
    rig: BackendRig, tmp_path: Path
) -> None:
    if "not limited" in (note := Disks(tmp_path).note(2)):
        pytest.skip(note)
    result = rig.pipeline("filling:pipeline").run(backend="batch", progress=False)
    error = result.step_results["fill"].error
    assert error is not None
    assert "No space left on device" in error
    assert "has 2.0 GiB" in error
    assert "`storage=`" in error
