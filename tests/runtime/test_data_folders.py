"""Folders of external inputs in a job."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from flowyml_aws import step
from flowyml_aws.artifacts.folder_scan import scan_folder
from flowyml_aws.artifacts.folder_transfer import save_folder
from flowyml_aws.artifacts.layout import artifact_key
from flowyml_aws.artifacts.prefix_listing import PrefixListing, PrefixObject
from flowyml_aws.core.errors import ArtifactNotFoundError, ChangedFileError
from flowyml_aws.core.step import Step
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.runtime.attempt import Attempt
from flowyml_aws.runtime.data_folders import unchanged_folder
from flowyml_aws.runtime.platform import Platform
from flowyml_aws.runtime.spec import FolderInPlace
from tests.runtime.harness import WrittenRun

SEEN: list[Path] = []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("1,2")
    return tmp_path / "data"


def reads(name: str, text: str = "") -> Step:
    """Return a step that reads the folder, and replaces its file if there is a `text`."""

    @step(name=name, inputs=["data"], outputs=[f"{name}.out"], execution_group="g")
    def read(data: Path) -> str:
        SEEN.append(data)
        before = (data / "a.csv").read_text()
        if text:
            (data / "a.csv").write_text(text)
        return before

    return read


def run_of(tmp_path: Path, folder: Path, *steps: Step) -> WrittenRun:
    scanned = scan_folder(folder)
    save_folder(DirectoryArtifactStore(tmp_path / "store"), scanned)
    SEEN.clear()
    return WrittenRun(tmp_path, *steps, inputs={"data": scanned.index()})


def test_the_steps_of_a_job_share_one_downloaded_folder(tmp_path: Path, folder: Path) -> None:
    assert run_of(tmp_path, folder, reads("first"), reads("second")).runner().run()
    assert len({*SEEN}) == 1
    assert SEEN[0] != folder


def test_the_next_step_gets_the_files_as_stored_after_a_step_has_changed_one(
    tmp_path: Path, folder: Path
) -> None:
    run = run_of(tmp_path, folder, reads("first", "other"), reads("second"))
    runner = run.runner()
    assert runner.run()
    assert (folder / "a.csv").read_text() == "1,2"
    assert SEEN[1].joinpath("a.csv").read_text() == "1,2"


def test_a_missing_file_of_a_folder_fails_the_job_with_the_way_to_upload_it(
    tmp_path: Path, folder: Path
) -> None:
    run = run_of(tmp_path, folder, reads("first"))
    run.store.delete([artifact_key(scan_folder(folder).index().files[0].sha256)])
    with pytest.raises(ArtifactNotFoundError) as caught:
        run.runner().run()
    assert (
        caught.value.fix == "run the pipeline again, which uploads the missing files of the folder"
    )


def in_place(folder: Path) -> FolderInPlace:
    return FolderInPlace(path=str(folder), state=scan_folder(folder).state)


def test_a_folder_in_place_is_the_folder_itself(folder: Path) -> None:
    assert unchanged_folder("data", in_place(folder)) == folder


@pytest.mark.parametrize("change", ["written", "added", "removed"])
def test_a_folder_that_changed_after_the_plan_is_not_read(folder: Path, change: str) -> None:
    planned = in_place(folder)
    if change == "written":
        os.utime(folder / "a.csv", (1, 1))
    elif change == "added":
        (folder / "b.csv").touch()
    else:
        (folder / "a.csv").unlink()
    with pytest.raises(ChangedFileError, match="has changed since the run was planned"):
        unchanged_folder("data", planned)


LISTING = PrefixListing(
    uri="s3://bucket/data/", objects=(PrefixObject(path="a.csv", size_bytes=3, etag='"1"'),)
)


@dataclass
class Bucket:
    """A bucket whose objects are the files of a folder."""

    folder: Path
    checked: list[PrefixListing] = field(default_factory=list)

    def open(self, wait_s: float) -> Bucket:
        return self

    def download(self, listing: PrefixListing, asset: str, folder: Path) -> Path:
        return Path(shutil.copytree(self.folder, folder / asset))

    def check(self, listing: PrefixListing) -> None:
        self.checked.append(listing)


@pytest.mark.parametrize("is_mounted", [False, True])
def test_a_prefix_is_downloaded_or_checked_where_the_platform_mounts_it(
    tmp_path: Path, folder: Path, is_mounted: bool
) -> None:
    SEEN.clear()
    bucket = Bucket(folder)
    run = WrittenRun(tmp_path, reads("first"), inputs={"data": LISTING})
    spec, platform = run.spec(), Platform(1)
    if is_mounted:
        source = spec.assets["data"].model_copy(update={"mount": folder.name})
        spec = spec.model_copy(update={"assets": {"data": source}})
        platform = Platform(1, mounts=folder.parent)
    runner = run.runner()
    attempt = Attempt.begin(spec, run.store, 1, platform, bucket.open)
    assert replace(runner, attempt=attempt).run()
    assert [folder if is_mounted else tmp_path / "assets" / "data"] == SEEN
    assert bucket.checked == ([LISTING] if is_mounted else [])
