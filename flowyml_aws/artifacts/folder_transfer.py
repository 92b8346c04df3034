"""Storing and loading of folders whose files are stored one by one."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from flowyml_aws.artifacts.errors import UnstorableValueError
from flowyml_aws.artifacts.folder_index import FolderFile, FolderIndex
from flowyml_aws.artifacts.folder_scan import ScannedFile, ScannedFolder, changed_while_read
from flowyml_aws.artifacts.layout import artifact_key
from flowyml_aws.artifacts.reading import read_to_file
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.concurrency import STORE_REQUESTS, map_concurrently
from flowyml_aws.core.errors import DamagedArtifactError, FlowymlError, SettingsError

__all__ = ["filled_folder", "load_folder", "paths_below", "save_folder"]


def save_folder(store: ArtifactStore, folder: ScannedFolder) -> None:
    """Store the files of a folder that are not stored yet, several at once.

    Raises:
        ChangedFileError: A file changed after it was scanned.
        DamagedArtifactError: Another content is stored under the key of a file, and can't be
            deleted.
    """

    def save(file: ScannedFile) -> None:
        try:
            store.upload(artifact_key(file.content.sha256), file.content)
        except (UnstorableValueError, FileNotFoundError) as error:
            raise changed_while_read(file.piece.path) from error

    files = zip(folder.index().files, folder.files, strict=True)
    different = {indexed.sha256: file for indexed, file in files if indexed.size_bytes}
    map_concurrently(save, different.values(), limit=STORE_REQUESTS)


def load_folder(store: ArtifactStore, index: FolderIndex, asset: str, folder: Path) -> Path:
    """Write the files of an index to a new folder, several at once, and verify them.

    Args:
        store: Store that contains the files.
        index: Index of the files.
        asset: Name of the asset, for the name of the new folder and for messages.
        folder: Folder that gets the new one; it is created if it does not exist.

    Raises:
        ArtifactNotFoundError: The object of a file does not exist.
        DamagedArtifactError: An object is damaged, or a path leads out of the folder.
        SettingsError: A file can't be written.
    """

    def load(target: Path, file: FolderFile) -> None:
        if file.size_bytes:
            read_to_file(store, file.ref(store.uri), target)
        else:
            target.touch(exist_ok=False)
        if file.is_executable:
            target.chmod(target.stat().st_mode | 0o111)

    with filled_folder(asset, folder) as new:
        paths = paths_below(new, [file.path for file in index.files])
        map_concurrently(
            lambda each: load(*each),
            zip(paths, index.files, strict=True),
            limit=STORE_REQUESTS,
        )
    return new


@contextmanager
def filled_folder(asset: str, folder: Path) -> Iterator[Path]:
    """Yield a new folder for the files of an asset. It is deleted if an error is raised.

    Raises:
        SettingsError: A file can't be written.
    """
    # Other users must not read it: the folder may be in a folder that they share.
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    prefix = re.sub(r"\W", "_", asset)[:40] + "-"
    new = Path(tempfile.mkdtemp(prefix=prefix, dir=folder))
    try:
        yield new
    except BaseException as error:
        shutil.rmtree(new, ignore_errors=True)
        if not isinstance(error, OSError) or isinstance(error, FlowymlError):
            raise
        raise SettingsError(
            what=f"The files of asset {asset!r} can't be written to this machine",
            why=f"{error.filename}: {error.strerror}" if error.filename else str(error),
            fix="request more storage in the step's resources, or set TMPDIR to a folder on "
            "another disk",
        ) from error


def paths_below(folder: Path, names: Iterable[str]) -> list[Path]:
    """Return the paths of files in a folder, and create the folders that contain them.

    Raises:
        DamagedArtifactError: A path is not in the folder.
    """
    paths = [_path_below(folder, name) for name in names]
    for parent in {path.parent for path in paths}:
        parent.mkdir(parents=True, exist_ok=True)
    return paths


def _path_below(folder: Path, name: str) -> Path:
    """Return the path of a file in a folder.

    Raises:
        DamagedArtifactError: It is not in the folder.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\0" in name:
        raise DamagedArtifactError(
            what=f"Invalid name of a file in a folder: {name!r}",
            why="it leads out of the folder, or is empty",
            fix="run the pipeline again; nothing was written outside the folder",
        )
    return folder / path
