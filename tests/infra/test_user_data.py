"""The user data of instances: the instance metadata, containers on local disks, and mounts of FSx.

Its programs are substitutes here.
"""

from __future__ import annotations

import email
import importlib.util
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.infra import INFRA

pytestmark = pytest.mark.system

(IMAGE_USER,) = re.findall(
    r"FLOWYML_USER=(\d+)", (INFRA.parent / "container/Dockerfile").read_text("utf-8")
)
LOCAL_DISK = "Amazon EC2 NVMe Instance Storage        \n"
PROGRAMS = (
    *("mkfs.xfs", "mount", "mdadm", "systemctl", "dnf", "sleep"),
    *("iptables", "ip6tables"),
)
VOLUME = "Amazon Elastic Block Store              \n"
PROGRAM = """#!/bin/sh
echo "$(basename "$0") $*" >> "$CALLS"
case " $FAILING " in *" $(basename "$0") "*) exit 1 ;; esac
"""


FSX = "fs-0123456789abcdef0.fsx.us-east-1.amazonaws.com@tcp:/abcdefgh"
OTHER_FSX = "fs-fedcba98765432100.fsx.us-east-1.amazonaws.com@tcp:/fsx"


def user_data(file_systems: Sequence[str]) -> str:
    """Return the user data that CDK makes; other tests compare it with Terraform's."""
    path = INFRA / "cdk/flowyml_account/shared.py"
    specification = importlib.util.spec_from_file_location("shared_by_cdk", path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return str(module.user_data(file_systems))


def scripts(file_systems: Sequence[str] = ()) -> list[str]:
    """Return the parts of the MIME document, which cloud-init executes in order."""
    document = email.message_from_string(user_data(file_systems))
    assert document.get_content_type() == "multipart/mixed"
    container, *parts = document.walk()
    assert container is document
    assert {part.get_content_type() for part in parts} == {"text/cloud-boothook"}
    return [str(part.get_payload()) for part in parts]


class Machine:
    """A folder with the devices of an instance and with substitutes for system programs."""

    def __init__(self, folder: Path, models: Sequence[str]) -> None:
        self.folder = folder
        for number, model in enumerate(models):
            file = folder / f"sys/block/nvme{number}n1/device/model"
            file.parent.mkdir(parents=True)
            file.write_text(model)
        (folder / "bin").mkdir()
        for name in PROGRAMS:
            program = folder / "bin" / name
            program.write_text(PROGRAM)
            program.chmod(0o755)
        image = folder / "lib/docker/image"
        image.parent.mkdir(parents=True)
        image.write_text("ecs-agent")

    def boot(self, failing: str = "") -> list[str]:
        """Run the script that all instances have; return the calls of programs in order."""
        (script,) = scripts()
        code, calls = self.run(script, failing)
        assert code == 0
        return calls

    def run(self, script: str, failing: str = "") -> tuple[int, list[str]]:
        """Run a script; return its exit code, and the calls of system programs in order."""
        calls = self.folder / "calls"
        environment = {
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "CALLS": str(calls),
            "FAILING": failing,
            "SYS": str(self.folder / "sys"),
            "DATA": str(self.folder / "lib"),
            "LOCAL": str(self.folder / "local"),
            "ECS_CONFIG": str(self.folder / "ecs.config"),
            "FSX": str(self.folder / "fsx"),
        }
        done = subprocess.run(["bash", "-c", script], env=environment, check=False)
        return done.returncode, calls.read_text().splitlines() if calls.exists() else []

    def boot_disks(self, failing: str = "") -> list[str]:
        """Run the script; return the calls that concern disks."""
        return [
            call for call in self.boot(failing) if not call.startswith(("iptables", "ip6tables"))
        ]


@pytest.mark.parametrize("models", [[VOLUME], [LOCAL_DISK]])
def test_the_user_of_the_images_can_not_reach_the_instance_metadata(
    models: list[str], tmp_path: Path
) -> None:
    calls = Machine(tmp_path, models).boot()
    owner = f"--match owner --uid-owner {IMAGE_USER} --jump REJECT"
    assert calls[:2] == [
        f"iptables --wait --insert OUTPUT --destination 169.254.169.254 {owner}",
        f"ip6tables --wait --insert OUTPUT --destination fd00:ec2::254 {owner}",
    ]


def test_nodes_can_not_reach_the_instance_metadata(tmp_path: Path) -> None:
    (tmp_path / "ecs.config").write_text("ECS_CLUSTER=of-batch\n")
    Machine(tmp_path, [VOLUME]).boot()
    lines = (tmp_path / "ecs.config").read_text().splitlines()
    assert lines == ["ECS_CLUSTER=of-batch", "ECS_AWSVPC_BLOCK_IMDS=true"]


def test_an_image_without_iptables_still_gets_its_disks(tmp_path: Path) -> None:
    calls = Machine(tmp_path, [LOCAL_DISK]).boot(failing="iptables ip6tables")
    assert "mkfs.xfs -q -f /dev/nvme0n1" in calls


def test_an_instance_without_local_disks_is_unchanged(tmp_path: Path) -> None:
    assert Machine(tmp_path, [VOLUME]).boot_disks() == []


def test_containers_are_on_the_local_disk_before_docker_starts(tmp_path: Path) -> None:
    machine = Machine(tmp_path, [VOLUME, LOCAL_DISK])
    assert machine.boot_disks(failing="systemctl") == [  # Docker is not active
        "mkfs.xfs -q -f /dev/nvme1n1",
        f"mount -o noatime,nodev /dev/nvme1n1 {tmp_path}/local",
        "systemctl is-active --quiet docker",
        f"mount --bind {tmp_path}/local/docker {tmp_path}/lib/docker",
        f"mount --bind {tmp_path}/local/containerd {tmp_path}/lib/containerd",
    ]
    assert (tmp_path / "local/docker/image").read_text() == "ecs-agent"


def test_several_local_disks_are_one_file_system(tmp_path: Path) -> None:
    calls = Machine(tmp_path, [LOCAL_DISK, VOLUME, LOCAL_DISK]).boot_disks()
    disks = "/dev/nvme0n1 /dev/nvme2n1"
    assert calls[0] == f"mdadm --create /dev/md/local --run --level=0 --raid-devices=2 {disks}"
    assert calls[1] == "mkfs.xfs -q -f /dev/md/local"


def test_a_running_docker_is_stopped_and_started_with_the_ecs_agent(tmp_path: Path) -> None:
    calls = Machine(tmp_path, [LOCAL_DISK]).boot_disks()
    assert "systemctl stop docker.socket docker containerd" in calls
    assert calls[-2:] == ["systemctl start containerd docker", "systemctl start --no-block ecs"]


def test_a_disk_that_can_not_be_formatted_leaves_containers_on_the_volume(tmp_path: Path) -> None:
    calls = Machine(tmp_path, [LOCAL_DISK]).boot_disks(failing="mkfs.xfs")
    assert calls == ["mkfs.xfs -q -f /dev/nvme0n1"]


def test_only_families_with_file_systems_of_fsx_have_the_script_that_mounts_them() -> None:
    (first,) = scripts()
    assert scripts([FSX])[:-1] == [first]
    assert len(user_data([FSX] * 20).encode()) < 16384  # limit of EC2


def test_file_systems_of_fsx_are_mounted_in_folders_with_their_ids(tmp_path: Path) -> None:
    *_, script = scripts([FSX, OTHER_FSX])
    first, second = (tmp_path / "fsx" / name.partition(".")[0] for name in (FSX, OTHER_FSX))
    assert Machine(tmp_path, []).run(script) == (
        0,
        [
            "dnf install --assumeyes --quiet lustre-client",
            f"mount -t lustre -o relatime,flock {FSX} {first}",
            f"mount -t lustre -o relatime,flock {OTHER_FSX} {second}",
        ],
    )
    assert first.is_dir() and second.is_dir()


@pytest.mark.parametrize("failing", ["mount", "dnf"])
def test_an_instance_without_its_file_systems_takes_no_jobs(
    failing: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    *_, script = scripts([FSX, OTHER_FSX])
    code, calls = Machine(tmp_path, []).run(script, failing)
    assert code == 1
    assert calls[-1] == "systemctl mask --now --no-block ecs"
    assert sum(call.startswith(failing) for call in calls) == 3
    assert ": the instance takes no jobs\n" in capfd.readouterr().out


def test_an_instance_whose_ecs_agent_can_not_be_stopped_is_turned_off(tmp_path: Path) -> None:
    *_, script = scripts([FSX])
    code, calls = Machine(tmp_path, []).run(script, failing="mount systemctl")
    assert (code, calls[-1]) == (1, "systemctl poweroff")
