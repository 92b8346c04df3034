"""Files of a folder on this machine, as an index is made of them.

Links to files and folders are followed: a job gets what they refer to. Other kinds of files are
refused, and so are links to nothing and links to a folder that contains them. Empty folders do not
count, as in S3 and git.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from flowyml_aws.artifacts.content import Content, FilePiece
from flowyml_aws.artifacts.errors import UnstorableValueError
from flowyml_aws.artifacts.folder_index import FolderFile, FolderIndex
from flowyml_aws.artifacts.parallel import PART_SLOTS
from flowyml_aws.core.concurrency import map_concurrently
from flowyml_aws.core.errors import ChangedFileError, InvalidDataError

__all__ = ["ScannedFile", "ScannedFolder", "changed_while_read", "scan_folder"]

_HASHED = 100_000  # files whose digests are remembered: a plan may be made several times


@dataclass(frozen=True, slots=True)
class ScannedFile:
    """A file of a folder in its current state.

    Attributes:
        name: Path in the folder, with slashes.
    """

    name: str
    piece: FilePiece
    is_executable: bool

    @property
    def content(self) -> Content:
        """Content of the file. Its digest is computed once in a process."""
        return _content(self.piece)


@dataclass(frozen=True, slots=True)
class ScannedFolder:
    """The files of a folder, sorted by name, before any of them is read.

    Attributes:
        path: Absolute path of the folder.
    """

    path: Path
    files: tuple[ScannedFile, ...]

    @property
    def state(self) -> str:
        """Digest in hex of the names, sizes and times of the files: equal if nothing changed."""
        digest = hashlib.sha256()
        for file in self.files:
            facts = (file.name, file.piece.size_bytes, *file.piece.modified, file.is_executable)
            digest.update(repr(facts).encode())
        return digest.hexdigest()

    def index(self) -> FolderIndex:
        """Read all files, several at once, and return their index.

        Raises:
            ChangedFileError: A file changed while it was read.
            InvalidDataError: A file can't be read.
        """
        return FolderIndex(
            files=tuple(map_concurrently(self._indexed, self.files, limit=PART_SLOTS.count))
        )

    def _indexed(self, file: ScannedFile) -> FolderFile:
        try:
            sha256 = file.content.sha256
        except UnstorableValueError as error:
            raise changed_while_read(file.piece.path) from error
        except OSError as error:
            raise _unreadable(self.path / file.name, error) from error
        return FolderFile(
            path=file.name,
            size_bytes=file.piece.size_bytes,
            sha256=sha256,
            is_executable=file.is_executable,
        )


def scan_folder(path: Path) -> ScannedFolder:
    """Return the files of a folder. None of them is read.

    Raises:
        InvalidDataError: The folder does not exist or has no files, or a file of it can't be read
            by jobs.
    """
    root = path.resolve()
    if not root.is_dir():
        raise InvalidDataError(
            what=f"LocalData folder not found: {path}",
            why=f"{root} is not a folder" if root.exists() else f"there is nothing at {root}",
            fix="correct the path; it is relative to the working directory. For a single file, "
            "write inputs={…: Path(…)}",
        )
    files = tuple(sorted(_files(root, "", (_identity(root),)), key=lambda file: file.name))
    if not files:
        raise InvalidDataError(
            what=f"LocalData folder is empty: {path}",
            why=f"{root} contains no files",
            fix="correct the path, or write the files before the run",
        )
    return ScannedFolder(root, files)


def changed_while_read(path: Path) -> ChangedFileError:
    """Return the error for a file that changed after the plan of the run was made."""
    return ChangedFileError(
        what=f"{path} changed while it was read",
        why="a run reads the same bytes of a folder in all its jobs, and another program writes "
        "to it",
        fix="wait until the other program has finished, then run the pipeline again",
    )


def _files(folder: Path, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[ScannedFile]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries)
    except OSError as error:
        raise _unreadable(folder, error) from error
    for name in names:
        path, inside = folder / name, f"{prefix}{name}"
        if not _is_text(inside):
            raise _refused(path, "its name is not valid UTF-8", "rename it")
        try:
            status = path.stat()
        except FileNotFoundError as error:
            raise _refused(path, "it is a link to nothing", "correct or delete the link") from error
        except OSError as error:
            raise _unreadable(path, error) from error
        if stat.S_ISDIR(status.st_mode):
            identity = (status.st_dev, status.st_ino)
            if identity in above:
                raise _refused(path, "it is a link to a folder that contains it", "delete the link")
            yield from _files(path, f"{inside}/", (*above, identity))
        elif stat.S_ISREG(status.st_mode):
            piece = FilePiece(path, status.st_size, (status.st_mtime_ns, status.st_ino))
            yield ScannedFile(inside, piece, bool(status.st_mode & 0o100))
        else:
            raise _refused(path, "it is not a regular file", "delete it, or use another folder")


@lru_cache(_HASHED)
def _content(piece: FilePiece) -> Content:
    return Content(piece)


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that are not UTF-8 are surrogates
        return False
    return True


def _refused(path: Path, why: str, fix: str) -> InvalidDataError:
    return InvalidDataError(what=f"{str(path)!r} can't be an input of a run", why=why, fix=fix)


def _unreadable(path: Path, error: OSError) -> InvalidDataError:
    return _refused(path, error.strerror or str(error), "make it readable, or use another folder")
