"""Codecs for files and folders that a `pathlib.Path` refers to."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from flowyml_aws.artifacts.content import Content, FilePiece
from flowyml_aws.artifacts.errors import UnstorableValueError

__all__ = ["DirectoryCodec", "PathCodec"]

_PATH = type(Path())


class PathCodec:
    """Codec for a path to a file. Decodes to a path to a file with the same bytes and name."""

    name = "file"
    version = 1

    def accepts(self, value: Any) -> bool:
        """Return whether the value is a path to an existing regular file."""
        return type(value) is _PATH and value.is_file()

    def encode(self, value: Any) -> Content:
        """Return the file's bytes unchanged, so that the stored object is the file."""
        return Content(FilePiece.at(value), filename=_filename(value))

    def decode_file(self, source: Path, target: Path) -> Path:
        """Move the file to its own name. Return its path."""
        return source.rename(target)


class DirectoryCodec:
    """Codec for a path to a folder, stored as a tar.

    The tar depends only on names, contents and executable bits. Symbolic links are followed,
    because their targets may not exist elsewhere. Files are read in place and are not copied.
    """

    name = "directory"
    version = 1

    def accepts(self, value: Any) -> bool:
        """Return whether the value is a path to an existing folder."""
        return type(value) is _PATH and value.is_dir()

    def encode(self, value: Any) -> Content:
        """Return a tar in POSIX.1-2001 format, sorted by name."""
        pieces: list[bytes | FilePiece] = []
        for name, path in _walk(value, PurePosixPath(), (_identity(value),)):
            pieces += _member(str(name), path)
        return Content(*pieces, bytes(2 * tarfile.BLOCKSIZE), filename=_filename(value))

    def decode_file(self, source: Path, target: Path) -> Path:
        """Unpack the folder and return its path. Accepts only plain files and folders below it."""
        target.mkdir()
        with tarfile.open(source, "r:") as tar:
            for member in tar:
                name = PurePosixPath(member.name)
                if name.is_absolute() or ".." in name.parts or not name.parts:
                    raise ValueError(f"its member {member.name!r} is outside the folder")
                try:
                    _unpack(tar, member, target / name)
                except (FileExistsError, NotADirectoryError) as error:
                    raise ValueError(f"its member {member.name!r} occurs twice") from error
        return target


def _filename(path: Path) -> str:
    name = path.name if path.name not in ("", "..") else path.resolve().name
    if not name or not name.isprintable():
        raise UnstorableValueError(
            what=f"{str(path)!r} can't be stored",
            why="its name is empty or has unprintable characters",
            fix="give it a plain name",
        )
    return name


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _walk(
    folder: Path, inside: PurePosixPath, parents: tuple[tuple[int, int], ...]
) -> Iterator[tuple[PurePosixPath, Path]]:
    """Yield the files and folders below a folder, sorted by name, parents first."""
    for path in sorted(folder.iterdir()):
        name = inside / path.name
        yield name, path
        if path.is_dir():
            identity = _identity(path)
            if identity in parents:
                raise _unstorable_member(path, "it is a link to a folder that contains it")
            yield from _walk(path, name, (*parents, identity))


def _member(name: str, path: Path) -> Iterator[bytes | FilePiece]:
    member = tarfile.TarInfo(name)  # no owner, and dated 1970
    if path.is_dir():
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        yield _header(member)
    elif path.is_file():
        piece = FilePiece.at(path)
        member.size = piece.size_bytes
        member.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
        yield _header(member)
        yield piece
        yield bytes(-piece.size_bytes % tarfile.BLOCKSIZE)
    else:
        raise _unstorable_member(path, "it is a broken link, or neither a file nor a folder")


def _header(member: tarfile.TarInfo) -> bytes:
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _unstorable_member(path: Path, why: str) -> UnstorableValueError:
    return UnstorableValueError(
        what=f"{path} can't be stored",
        why=f"{path}: {why}",
        fix="remove it from the folder before the step returns it",
    )


def _unpack(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    if member.isdir():
        path.mkdir(parents=True, exist_ok=False)
        return
    file = tar.extractfile(member) if member.isreg() and not member.issparse() else None
    if file is None:
        raise ValueError(f"its member {member.name!r} is neither a plain file nor a folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    with file, path.open("xb") as target:
        shutil.copyfileobj(file, target, 1 << 20)
    if member.mode & 0o100:
        path.chmod(path.stat().st_mode | 0o111)
