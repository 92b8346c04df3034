"""The folders of training jobs, and the users that can write them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.testing import Emulator
from flowyml_aws.testing.machines.image_user import can_switch_user, command_as
from tests.support.rigs import CHECKOUT, BackendRig

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("image-user")]

USER = 10001
FOLDERS = """
import os
base = os.environ["SAGEMAKER_BASE_DIR"]
for path in (base, *(f"{base}/{name}" for name in ("model", "output", "checkpoints"))):
    print(f"{os.stat(path).st_mode & 0o777:o}", os.stat(path).st_uid == OWNER)
"""
WRITE = """
import os, pathlib, tempfile
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
for folder in (base / "model", base / "output", base / "checkpoints", pathlib.Path(TMP)):
    try:
        (folder / "x").touch()
        print("written")
    except PermissionError:
        print("denied")
"""
WRITE_ALL = WRITE.replace("TMP", 'os.environ["TMPDIR"]')
needs_root = pytest.mark.skipif(not can_switch_user(), reason="only root can change its user")


@pytest.fixture
def of_a_user() -> Iterator[Emulator]:
    """An emulator whose jobs run as the user of an image."""
    with Emulator(image_user=USER) as aws:
        yield aws


def test_the_folders_of_a_training_job_belong_to_root(training: Any) -> None:
    name = training.create(FOLDERS.replace("OWNER", str(os.getuid())))
    assert training.ended(name)["TrainingJobStatus"] == "Completed", training.log(name)
    assert training.log(name) == ["755 True"] * 4


def test_temporary_files_are_apart_from_the_volume_and_the_working_directory(training: Any) -> None:
    name = training.create(
        "import os, tempfile; print(tempfile.gettempdir() == os.environ['TMPDIR'],"
        " os.environ['TMPDIR'].startswith((os.getcwd(), os.environ['SAGEMAKER_BASE_DIR'])))"
    )
    training.ended(name)
    assert training.log(name) == ["True False"]


def test_the_image_of_this_package_runs_as_root_and_can_write_them(training: Any) -> None:
    name = training.create(WRITE_ALL)
    training.ended(name)
    assert training.log(name) == ["written"] * 4


def test_the_user_of_another_image_can_write_none_of_them(
    of_a_user: Emulator, connect_training: Any
) -> None:
    training = connect_training(of_a_user)
    name = training.create(WRITE_ALL)
    assert training.ended(name)["TrainingJobStatus"] == "Completed", training.log(name)
    assert training.log(name) == ["denied"] * 4


@needs_root
def test_jobs_run_as_the_user_of_the_image_in_a_folder_that_it_can_write(
    of_a_user: Emulator, connect: Any
) -> None:
    batch = connect(of_a_user)
    job = batch.submit("import os; open('x', 'w').close(); print(os.getuid(), os.getgid())")
    assert batch.ended(job)["status"] == "SUCCEEDED"
    assert batch.log(job) == [f"{USER} {USER}"]
    missing = batch.ended(batch.submit(containerOverrides={"command": ["no-such-program"]}))
    assert missing["container"]["reason"].startswith("CannotStartContainerError")


@needs_root
def test_an_emulator_without_root_protects_the_folders_themselves(tmp_path: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(CHECKOUT)!r})
from flowyml_aws.testing import Emulator
from tests.testing.conftest import TrainingClient
with Emulator(image_user={USER}) as aws:
    training = TrainingClient(aws)
    name = training.create({WRITE_ALL!r})
    print(training.ended(name)["TrainingJobStatus"], *training.log(name))
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o011)
    done = subprocess.run(
        command_as(USER + 1, sys.executable, ["-c", code]),
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["Completed", *["denied"] * 4], done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_run_on_sagemaker_names_the_folders_that_its_image_can_not_write(
    of_a_user: Emulator, tmp_path: Path
) -> None:
    settings = {**of_a_user.environment, "FLOWYML_AWS_POLL_S": "0.2"}
    rig = BackendRig("sagemaker", tmp_path / "project", settings)
    with rig.entered():
        run = rig.pipeline("outputs").submit(backend="sagemaker")
        result = run.wait()
        lines = [line.message for line in run.logs("keep")]
    assert result.state == "failed"
    (line,) = (line for line in lines if "the image's user" in line)
    assert "can't write" in line
    assert "/checkpoints" in line
    assert "build the image without USER" in line
    assert "PermissionError" in str(result.status.jobs[0].reason)
