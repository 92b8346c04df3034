"""Permissions of the files in a project's folder `.flowyml`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowyml_aws import VersionedPipeline, step
from flowyml_aws.artifacts.content import Content
from flowyml_aws.local.directory import DirectoryArtifactStore
from tests.support.rigs import BackendRig


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=lambda umask: f"umask {umask:03o}", autouse=True)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    previous = os.umask(request.param)
    yield request.param
    os.umask(previous)


def modes(folder: Path) -> tuple[set[int], set[int]]:
    """Return the modes of all folders and of all files, including hidden ones."""
    paths = [folder, *folder.rglob("*")]
    folders = {path.stat().st_mode & 0o777 for path in paths if path.is_dir()}
    return folders, {path.stat().st_mode & 0o777 for path in paths if path.is_file()}


def test_only_the_user_can_read_a_new_local_store(tmp_path: Path) -> None:
    store = DirectoryArtifactStore(tmp_path / ".flowyml" / "aws")
    store.put("runs/r/jobs/j/attempts/1/events.json", b"{}")
    store.create("runs/r/run.json", b"{}")
    store.upload("artifacts/aa/aa", Content(b"secret"))
    with store.open_new("runs/r/jobs/j/attempts/1/log.txt") as log:
        log.write(b"secret")
    assert modes(tmp_path / ".flowyml") == ({0o700}, {0o600})


def test_a_folder_of_an_earlier_version_becomes_private(tmp_path: Path) -> None:
    folder = tmp_path / ".flowyml"
    (folder / "aws").mkdir(parents=True)
    folder.chmod(0o777)
    DirectoryArtifactStore(folder / "aws").put("cache/k.json", b"{}")
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_directory_that_users_share_stays_shared(tmp_path: Path, umask: int) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o770)
    store = DirectoryArtifactStore(shared)
    store.put("runs/r/run.json", b"{}")
    assert shared.stat().st_mode & 0o777 == 0o770
    assert (shared / "runs/r").stat().st_mode & 0o777 == 0o770 & ~umask
    assert (shared / "runs/r/run.json").stat().st_mode & 0o777 == 0o660 & ~umask


def test_saved_versions_are_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    @step(outputs=["a"])
    def make() -> int:
        return 1

    pipeline = VersionedPipeline("p", version="v1")
    pipeline.add_step(make)
    pipeline.save_version()
    assert modes(tmp_path / ".flowyml") == ({0o700}, {0o600})


@pytest.mark.contract
@pytest.mark.parametrize("umask", [0o000], indirect=True)
def test_a_local_run_leaves_nothing_that_others_can_read(tmp_path: Path) -> None:
    rig = BackendRig("local", tmp_path / "project")
    with rig.entered():
        assert rig.pipeline("kinds").run(progress=False).success
    assert modes(rig.folder / ".flowyml") == ({0o700}, {0o600})
