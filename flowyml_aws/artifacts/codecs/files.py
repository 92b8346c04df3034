"""Codecs for files and folders, given as a `pathlib.Path`."""

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
    """A path to a file; its value elsewhere is a path to the same bytes under the same name."""

    name = "file"
    version = 1

    def accepts(self, value: Any) -> bool:
        """Whether it is a path and a regular file lies there."""
        return type(value) is _PATH and value.is_file()

    def encode(self, value: Any) -> Content:
        """The file's own bytes, so that the stored object is the file."""
        return Content(FilePiece.at(value), filename=_filename(value))

    def decode_file(self, landed: Path, target: Path) -> Path:
        """The path of the file under its own name."""
        return landed.rename(target)


class DirectoryCodec:
    """A path to a folder, as a tar of what one reads there.

    The tar depends on names, contents and executable bits alone. Symbolic links are followed:
    what they point to may not exist elsewhere. Files are read in place, there is no second copy.
    """

    name = "directory"
    version = 1

    def accepts(self, value: Any) -> bool:
        """Whether it is a path and a folder lies there."""
        return type(value) is _PATH and value.is_dir()

    def encode(self, value: Any) -> Content:
        """A tar in POSIX.1-2001 format, sorted by name."""
        pieces: list[bytes | FilePiece] = []
        for name, path in _walk(value, PurePosixPath(), (_identity(value),)):
            pieces += _member(str(name), path)
        return Content(*pieces, bytes(2 * tarfile.BLOCKSIZE), filename=_filename(value))

    def decode_file(self, landed: Path, target: Path) -> Path:
        """The path of the folder, unpacked. Takes plain files and folders below it only."""
        target.mkdir()
        with tarfile.open(landed, "r:") as tar:
            for member in tar:
                name = PurePosixPath(member.name)
                if name.is_absolute() or ".." in name.parts or not name.parts:
                    raise ValueError(f"its member {member.name!r} lies outside the folder")
                try:
                    _unpack(tar, member, target / name)
                except (FileExistsError, NotADirectoryError) as error:
                    raise ValueError(f"its member {member.name!r} is in it twice") from error
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
    found = path.stat()
    return found.st_dev, found.st_ino


def _walk(
    folder: Path, inside: PurePosixPath, above: tuple[tuple[int, int], ...]
) -> Iterator[tuple[PurePosixPath, Path]]:
    """Everything below a folder, parents first, by name."""
    for path in sorted(folder.iterdir()):
        name = inside / path.name
        yield name, path
        if path.is_dir():
            identity = _identity(path)
            if identity in above:
                raise _refused_member(path, "it is a link to a folder that it lies in")
            yield from _walk(path, name, (*above, identity))


def _member(name: str, path: Path) -> Iterator[bytes | FilePiece]:
    member = tarfile.TarInfo(name)  # no owner, and of 1970
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
        raise _refused_member(path, "it is a broken link, or neither a file nor a folder")


def _header(member: tarfile.TarInfo) -> bytes:
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _refused_member(path: Path, why: str) -> UnstorableValueError:
    return UnstorableValueError(
        what=f"{path} can't be stored",
        why=f"{path}: {why}",
        fix="remove it from the folder before the step returns it",
    )


def _unpack(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    if member.isdir():
        path.mkdir(parents=True, exist_ok=False)
        return
    source = tar.extractfile(member) if member.isreg() and not member.issparse() else None
    if source is None:
        raise ValueError(f"its member {member.name!r} is neither a plain file nor a folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    with source, path.open("xb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
    if member.mode & 0o100:
        path.chmod(path.stat().st_mode | 0o111)
