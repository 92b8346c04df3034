"""Failures of steps whose disk is full."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from flowyml_aws.core.emulated import SHARED_MEMORY_VARIABLE
from flowyml_aws.runtime.failures import describe_job_failure, describe_step_failure
from flowyml_aws.runtime.full_disk import full_disk_advice


@pytest.fixture
def other_shared_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that replaces `/dev/shm`, which can contain the temporary files of the tests."""
    folder = tmp_path / "shared memory"
    folder.mkdir()
    monkeypatch.setenv(SHARED_MEMORY_VARIABLE, str(folder))
    return folder


def no_space(path: Path | str | None = None) -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path and str(path))


@pytest.mark.usefixtures("other_shared_memory")
def test_the_advice_names_the_disk_with_its_size_and_the_argument(tmp_path: Path) -> None:
    advice = full_disk_advice(no_space(tmp_path / "missing/model.bin"))
    assert advice.startswith(f"the disk of {tmp_path} has ")
    assert " GiB" in advice
    assert "request more with `storage=`" in advice


@pytest.mark.usefixtures("other_shared_memory")
def test_a_file_without_a_name_is_on_the_disk_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert f"the disk of {tmp_path} has" in full_disk_advice(no_space())


def test_errors_of_libraries_are_recognized_by_their_text_and_their_cause() -> None:
    assert full_disk_advice(RuntimeError("write failed: No space left on device (os error 28)"))
    try:
        raise ValueError("can't save") from no_space()
    except ValueError as error:
        assert full_disk_advice(error)


def test_shared_memory_depends_on_the_memory_of_the_job() -> None:
    advice = full_disk_advice(no_space("/dev/shm/torch_1"))
    assert "request more `memory`" in advice
    assert "storage" not in advice


def test_an_emulated_job_has_a_folder_as_its_shared_memory(other_shared_memory: Path) -> None:
    advice = full_disk_advice(no_space(other_shared_memory / "torch_1"))
    assert advice.startswith(f"shared memory ({other_shared_memory}) has ")


def test_other_errors_have_no_advice() -> None:
    assert full_disk_advice(FileNotFoundError(errno.ENOENT, "No such file", "x")) == ""
    assert full_disk_advice(ValueError("full")) == ""


def test_the_failures_of_a_step_and_of_a_job_contain_the_advice() -> None:
    for failure in (describe_step_failure(no_space(), ()), describe_job_failure(no_space(), ())):
        assert failure.message == "[Errno 28] No space left on device"
        assert "fix: the disk of" in failure.text
