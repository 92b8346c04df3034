"""Folders whose files are stored one by one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from flowyml_aws.artifacts.codecs.selection import choose_codec
from flowyml_aws.artifacts.errors import UnstorableValueError
from flowyml_aws.artifacts.folder_index import FolderFile, FolderIndex
from flowyml_aws.artifacts.folder_scan import ScannedFolder, scan_folder
from flowyml_aws.artifacts.folder_transfer import save_folder
from flowyml_aws.artifacts.layout import artifact_key
from flowyml_aws.artifacts.members import with_members
from flowyml_aws.artifacts.transfer import load_values
from flowyml_aws.artifacts.values import load_value, save_value
from flowyml_aws.core.data_inputs import LocalData
from flowyml_aws.core.errors import (
    ArtifactNotFoundError,
    ChangedFileError,
    DamagedArtifactError,
    InvalidDataError,
)
from flowyml_aws.local.directory import DirectoryArtifactStore
from tests.support.stores import overwrite

FILES = {
    "a.csv": b"1,2",
    "empty": b"",
    ".hidden/with space.txt": b"3",
    "deep/er/grün\n.bin": bytes(range(256)) * 10,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, data in FILES.items():
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "data"


@pytest.fixture
def store(tmp_path: Path) -> DirectoryArtifactStore:
    return DirectoryArtifactStore(tmp_path / "store")


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def stored(store: DirectoryArtifactStore, folder: Path) -> FolderIndex:
    scanned = scan_folder(folder)
    save_folder(store, scanned)
    return scanned.index()


def test_a_folder_is_loaded_with_the_same_names_contents_and_executable_bits(
    folder: Path, store: DirectoryArtifactStore, tmp_path: Path
) -> None:
    (folder / "a.csv").chmod(0o755)
    ref = save_value(store, "data", stored(store, folder))
    loaded = load_values(store, {"data": ref}, tmp_path / "loaded")["data"]
    assert contents(loaded) == FILES
    executable = [path.name for path in loaded.rglob("*") if path.is_file() and os.access(path, 1)]
    assert executable == ["a.csv"]
    assert contents(load_value(store, ref, "data", tmp_path / "loaded")) == FILES


def test_links_are_followed(folder: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "file").symlink_to(folder / "a.csv")
    (linked / "folder").symlink_to(folder / "deep")
    names = [file.name for file in scan_folder(linked).files]
    assert names == ["file", "folder/er/grün\n.bin"]


def test_a_copy_of_a_folder_elsewhere_has_the_same_identity(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "another name")
    (copy / "empty folder").mkdir()
    os.utime(copy / "a.csv", (1, 1))
    assert scan_folder(copy).index() == scan_folder(folder).index()


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "a.csv").write_bytes(b"1,3"),
        lambda folder: (folder / "a.csv").rename(folder / "b.csv"),
        lambda folder: (folder / "a.csv").chmod(0o755),
        lambda folder: (folder / "empty").unlink(),
    ],
    ids=["content", "name", "executable", "removed"],
)
def test_each_change_of_a_file_changes_the_identity(
    folder: Path, change: Callable[[Path], object]
) -> None:
    before = scan_folder(folder)
    index = before.index()
    change(folder)
    after = scan_folder(folder)
    assert after.index() != index
    assert after.state != before.state


def test_only_changed_files_are_stored_again_and_equal_ones_once(
    folder: Path, store: DirectoryArtifactStore
) -> None:
    (folder / "copy.csv").write_bytes(FILES["a.csv"])
    stored(store, folder)
    objects = {entry.key: store.path(entry.key).stat().st_ino for entry in store.walk("artifacts/")}
    assert len(objects) == len(FILES) - 1  # nothing is stored for an empty file
    (folder / "a.csv").write_bytes(b"new")
    stored(store, folder)
    after = {entry.key: store.path(entry.key).stat().st_ino for entry in store.walk("artifacts/")}
    assert len(after) == len(FILES)
    assert objects.items() <= after.items()


def emptied(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.touch()


def loop(folder: Path) -> None:
    (folder / "up").symlink_to(folder)


def fifo(folder: Path) -> None:
    os.mkfifo(folder / "pipe")


def broken_link(folder: Path) -> None:
    (folder / "gone").symlink_to(folder / "nothing")


def not_utf8(folder: Path) -> None:
    Path(os.fsdecode(bytes(folder) + b"/\xff")).touch()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (loop, "link to a folder that contains it"),
        (fifo, "not a regular file"),
        (broken_link, "link to nothing"),
        (not_utf8, "not valid UTF-8"),
        (shutil.rmtree, "there is nothing at"),
        (emptied, "contains no files"),
        (a_file, "is not a folder"),
    ],
    ids=["loop", "fifo", "broken link", "name", "missing", "empty", "file"],
)
def test_a_folder_that_jobs_could_not_get_is_refused_with_the_reason(
    folder: Path, spoil: Callable[[Path], object], reason: str
) -> None:
    spoil(folder)
    with pytest.raises(InvalidDataError, match=reason):
        scan_folder(folder)


@pytest.mark.parametrize("use", [ScannedFolder.index, "save"])
def test_a_file_that_changes_after_the_scan_is_an_error_that_names_it(
    folder: Path, store: DirectoryArtifactStore, use: Callable[[ScannedFolder], object] | str
) -> None:
    scanned = scan_folder(folder)
    (folder / "deep/er/grün\n.bin").write_bytes(b"another size")
    with pytest.raises(ChangedFileError, match="grün") as caught:
        save_folder(store, scanned) if isinstance(use, str) else use(scanned)
    assert "changed while it was read" in caught.value.what


def test_a_damaged_or_missing_file_is_an_error_and_leaves_no_folder(
    folder: Path, store: DirectoryArtifactStore, tmp_path: Path
) -> None:
    index = stored(store, folder)
    ref = save_value(store, "data", index)
    key = artifact_key(index.files[1].sha256)
    overwrite(store, key, b"9,9")
    with pytest.raises(DamagedArtifactError):
        load_value(store, ref, "data", tmp_path / "loaded")
    store.delete([key])
    with pytest.raises(ArtifactNotFoundError):
        load_value(store, ref, "data", tmp_path / "loaded")
    assert list((tmp_path / "loaded").iterdir()) == []


@pytest.mark.parametrize("name", ["../outside", "/outside", "", "a/../../outside"])
def test_an_index_writes_nothing_outside_its_folder(
    name: str, store: DirectoryArtifactStore, tmp_path: Path
) -> None:
    file = FolderFile(path=name, size_bytes=0, sha256="0" * 64)
    ref = save_value(store, "data", FolderIndex(files=(file,)))
    with pytest.raises(DamagedArtifactError, match="leads out of the folder"):
        load_value(store, ref, "data", tmp_path / "loaded")


def test_the_members_of_a_folder_are_its_files(folder: Path, store: DirectoryArtifactStore) -> None:
    index = stored(store, folder)
    ref = save_value(store, "data", index)
    keys = {artifact_key(file.sha256) for file in index.files if file.size_bytes}
    assert {each.key for each in with_members(store, ref)} == {ref.key, *keys}
    assert all(store.path(key).exists() for key in keys)


def test_a_step_that_returns_local_data_gets_the_advice_to_return_a_path() -> None:
    with pytest.raises(UnstorableValueError) as caught:
        choose_codec(LocalData("data"))
    assert "return the Path of the folder" in caught.value.fix
