"""Codecs for files and folders that a `pathlib.Path` refers to."""

from __future__ import annotations

import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

from flowyml_aws.artifacts.codecs.archive import Unpacking, end_of_tar, pack
from flowyml_aws.artifacts.content import Content, FilePiece
from flowyml_aws.artifacts.errors import UnstorableValueError

__all__ = ["DirectoryCodec", "ExecutableCodec", "PathCodec"]

_PATH = type(Path())


class PathCodec:
    """Codec for a path to a file. Decodes to a path to a file with the same bytes and name."""

    name = "file"
    version = 1

    def accepts(self, value: Any) -> bool:
        """Return whether the value is a path to an existing regular file without execute bit."""
        return type(value) is _PATH and value.is_file() and not _is_executable(value)

    def encode(self, value: Any) -> Content:
        """Return the file's bytes unchanged, so that the stored object is the file."""
        return Content(FilePiece.at(value), filename=_filename(value))

    def decode_file(self, source: Path, target: Path) -> Path:
        """Move the file to its own name. Return its path."""
        return source.rename(target)


class ExecutableCodec(PathCodec):
    """Codec for a path to a file that its owner may execute."""

    name = "executable"
    version = 1

    def accepts(self, value: Any) -> bool:
        """Return whether the value is a path to an existing executable file."""
        return type(value) is _PATH and value.is_file() and _is_executable(value)

    def decode_file(self, source: Path, target: Path) -> Path:
        """Move the file to its own name, and make it executable. Return its path."""
        path = super().decode_file(source, target)
        path.chmod(path.stat().st_mode | 0o111)
        return path


class DirectoryCodec:
    """Codec for a path to a folder, stored as a tar (see `archive.py`)."""

    name = "directory"
    version = 1

    def accepts(self, value: Any) -> bool:
        """Return whether the value is a path to an existing folder."""
        return type(value) is _PATH and value.is_dir()

    def encode(self, value: Any) -> Content:
        """Return a tar in POSIX.1-2001 format, sorted by name."""
        pieces = pack({PurePosixPath(): value})
        return Content(*pieces, end_of_tar(), filename=_filename(value))

    def decode_file(self, source: Path, target: Path) -> Path:
        """Unpack the folder and return its path. Writes nothing outside it."""
        unpacking = Unpacking(target)
        with tarfile.open(source, "r:") as tar:
            for member in tar:
                unpacking.add(tar, member, PurePosixPath(member.name))
        unpacking.finish()
        return target


def _is_executable(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o100)


def _filename(path: Path) -> str:
    name = path.name if path.name not in ("", "..") else path.resolve().name
    if not name or not name.isprintable():
        raise UnstorableValueError(
            what=f"{str(path)!r} can't be stored",
            why="its name is empty or has unprintable characters",
            fix="give it a plain name",
        )
    return name
