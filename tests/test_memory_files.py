"""Temporary files of the tests are in memory if this machine has enough of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support import memory_files
from tests.support.memory_files import (
    PREFIX,
    is_suitable,
    move_temporary_files,
    remove_folders_of_ended_runs,
)

NO_PROCESS = 2**22 + 1  # Linux: larger than the largest process id


def test_the_folder_of_a_user_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert move_temporary_files() is None
    assert os.environ["TMPDIR"] == str(tmp_path)


def test_a_machine_without_a_file_system_in_memory_uses_its_disk(tmp_path: Path) -> None:
    assert not is_suitable(tmp_path / "missing")


def test_a_file_system_with_too_little_room_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_files, "ROOM_BYTES", 2**60)
    assert not is_suitable(tmp_path)


def test_folders_of_ended_runs_are_removed(tmp_path: Path) -> None:
    folders = [f"{PREFIX}{NO_PROCESS}-a", f"{PREFIX}{os.getpid()}-a", f"{PREFIX}other", "other"]
    for name in folders:
        (tmp_path / name / "pytest-of-me").mkdir(parents=True)
    remove_folders_of_ended_runs(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(folders[1:])
