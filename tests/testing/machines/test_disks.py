"""Disks of the emulated instances, as jobs see them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.testing import Emulator
from flowyml_aws.testing.machines.disks import Disks
from tests.testing.conftest import BatchClient

pytestmark = pytest.mark.contract

# Allocates memory of the disk without writing to it.
FILL = """
import os, tempfile
for place in ('.', tempfile.gettempdir()):
    with open(os.path.join(place, 'data'), 'wb') as file:
        try:
            os.posix_fallocate(file.fileno(), 0, {gib} << 30)
        except OSError as error:
            print(error)
    os.remove(file.name)
"""
FULL = "[Errno 28] No space left on device"


@pytest.fixture
def limitable(tmp_path: Path) -> None:
    if "not limited" in (note := Disks(tmp_path).note(1)):
        pytest.skip(note)


def use_volume(aws: Emulator, volume_gib: int | None) -> None:
    """Give the instances of the CPU queue a volume, or no launch template."""
    template: dict[str, Any] = {}
    if volume_gib is not None:
        disk = {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": volume_gib}}
        aws.client("ec2").create_launch_template(
            LaunchTemplateName="small", LaunchTemplateData={"BlockDeviceMappings": [disk]}
        )
        template = {"launchTemplateName": "small"}
    aws.client("batch").update_compute_environment(
        computeEnvironment="flowyml-emulator-cpu", computeResources={"launchTemplate": template}
    )


@pytest.mark.usefixtures("limitable")
def test_a_job_gets_the_volume_of_the_launch_template_without_the_reserve(
    aws: Emulator, batch: BatchClient
) -> None:
    use_volume(aws, 22)
    fitting = batch.submit(FILL.format(gib=1))
    assert batch.ended(fitting)["status"] == "SUCCEEDED"
    assert batch.log(fitting) == []
    too_large = batch.submit(FILL.format(gib=3))
    assert batch.ended(too_large)["status"] == "SUCCEEDED"
    assert batch.log(too_large) == [FULL, FULL]


@pytest.mark.usefixtures("limitable")
def test_without_a_launch_template_an_instance_has_ecs_s_default_volume(
    aws: Emulator, batch: BatchClient
) -> None:
    use_volume(aws, None)
    job = batch.submit("import shutil; print(shutil.disk_usage('.').total >> 30)")
    batch.ended(job)
    assert batch.log(job) == ["10"]


@pytest.mark.usefixtures("limitable")
def test_jobs_on_one_instance_share_its_disk(tmp_path: Path) -> None:
    disks = Disks(tmp_path)
    first, second = disks.enter("i-1", 1), disks.enter("i-1", 1)
    assert first is not None
    assert first == second
    (first / "data").write_bytes(b"x")
    disks.leave("i-1")
    assert (first / "data").read_bytes() == b"x"
    disks.leave("i-1")
    assert not first.exists()


@pytest.mark.usefixtures("limitable")
def test_a_disk_larger_than_this_machine_is_not_limited_and_the_reason_is_known(
    tmp_path: Path,
) -> None:
    disks = Disks(tmp_path)
    assert disks.enter("i-1", 1 << 20) is None
    assert "GiB are free on this machine's own disk" in str(disks.obstacle(1 << 20))


@pytest.mark.usefixtures("limitable")
def test_the_emulator_says_whether_disks_are_limited(tmp_path: Path, aws: Emulator) -> None:
    assert Disks(tmp_path).note(1) == "disks of jobs are limited to 1 GiB"
    assert aws.disk_limit.startswith("disks of jobs are ")
    assert "limited to 80 GiB" in aws.disk_limit


def test_only_root_can_limit_disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    disks = Disks(tmp_path)
    assert disks.enter("i-1", 1) is None
    assert "only root can mount" in str(disks.obstacle(1))
