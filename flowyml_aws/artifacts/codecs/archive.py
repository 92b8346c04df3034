"""Files and folders as a tar, read in place and restored exactly.

The tar depends only on names, contents, executable bits and links. A symbolic link is kept if its
target is in the tar; otherwise its target is stored in its place, because that may not exist on
another machine.
"""

from __future__ import annotations

import posixpath
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from flowyml_aws.artifacts.content import Buffer, FilePiece
from flowyml_aws.artifacts.errors import UnstorableValueError

__all__ = ["Unpacking", "end_of_tar", "pack", "pack_bytes"]

_Pieces = Iterator["bytes | FilePiece"]
_Identity = tuple[int, int]


def pack(roots: Mapping[PurePosixPath, Path]) -> _Pieces:
    """Yield the members of a tar, sorted by name. Files are not read yet.

    Args:
        roots: Files and folders by their names in the tar. The contents of a folder without a
            name are at the top of the tar.

    Raises:
        UnstorableValueError: A member cannot exist on another machine.
    """
    names_by_target = _names_by_target(roots)
    for name, path in sorted(roots.items()):
        if name.parts:
            yield from _member(name, path, names_by_target, ())
        else:
            yield from _members(path, name, names_by_target, (_identity(path),))


def pack_bytes(name: str, *pieces: Buffer) -> Iterator[Buffer]:
    """Yield a member of a tar with these bytes."""
    member = tarfile.TarInfo(name)
    member.size = sum(memoryview(piece).nbytes for piece in pieces)
    yield _header(member)
    yield from pieces
    yield bytes(-member.size % tarfile.BLOCKSIZE)


def end_of_tar() -> bytes:
    """Return the two empty blocks that end a tar."""
    return bytes(2 * tarfile.BLOCKSIZE)


class Unpacking:
    """A folder that is restored from members of a tar. Nothing is written outside it.

    Args:
        folder: New folder, which is created.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._links: list[tuple[PurePosixPath, str]] = []
        folder.mkdir()

    def add(self, tar: tarfile.TarFile, member: tarfile.TarInfo, name: PurePosixPath) -> None:
        """Write a member to the folder.

        Raises:
            ValueError: The member is outside the folder, occurs twice, or is not a plain
                file, a folder or a link.
        """
        if name.is_absolute() or ".." in name.parts or not name.parts:
            raise ValueError(f"its member {member.name!r} is outside the folder")
        if member.issym():
            # Created last, so that nothing is written through a link.
            self._links.append((name, member.linkname))
            return
        try:
            _unpack(tar, member, self._folder / name)
        except (FileExistsError, NotADirectoryError) as error:
            raise ValueError(f"its member {member.name!r} occurs twice") from error

    def finish(self) -> None:
        """Create the links.

        Raises:
            ValueError: A link leaves the folder.
        """
        for name, target in self._links:
            inside = posixpath.normpath(posixpath.join(name.parent, target))
            if posixpath.isabs(target) or inside.startswith(".."):
                raise ValueError(f"its member {str(name)!r} is a link to outside the folder")
            try:
                (self._folder / name).symlink_to(target)
            except OSError as error:
                raise ValueError(f"its member {str(name)!r} occurs twice") from error
            self._check_link(name)
        for name, _ in self._links:
            self._check_link(name)

    def _check_link(self, name: PurePosixPath) -> None:
        # The text of a link may pass through other links.
        if not (self._folder / name).resolve().is_relative_to(self._folder.resolve()):
            (self._folder / name).unlink()
            raise ValueError(f"its member {str(name)!r} is a link to outside the folder")


def _names_by_target(roots: Mapping[PurePosixPath, Path]) -> dict[Path, PurePosixPath]:
    """Return the names of the roots by their real paths. A link to a root is not one itself."""
    names: dict[Path, PurePosixPath] = {}
    for name, path in sorted(roots.items(), key=lambda item: (item[1].is_symlink(), item[0])):
        real = path.resolve()
        if _name_of(real, names) is None:
            names[real] = name
    return names


def _name_of(real: Path, names_by_target: Mapping[Path, PurePosixPath]) -> PurePosixPath | None:
    for place in (real, *real.parents):
        if place in names_by_target:
            return names_by_target[place] / real.relative_to(place)
    return None


def _members(
    folder: Path,
    inside: PurePosixPath,
    names_by_target: Mapping[Path, PurePosixPath],
    parents: tuple[_Identity, ...],
) -> _Pieces:
    for path in sorted(folder.iterdir()):
        yield from _member(inside / path.name, path, names_by_target, parents)


def _member(
    name: PurePosixPath,
    path: Path,
    names_by_target: Mapping[Path, PurePosixPath],
    parents: tuple[_Identity, ...],
) -> _Pieces:
    member = tarfile.TarInfo(str(name))  # no owner, and dated 1970
    if path.is_symlink() and path.exists():
        target = _name_of(path.resolve(), names_by_target)
        if target is not None and target != name:
            member.type = tarfile.SYMTYPE
            member.linkname = posixpath.relpath(target, name.parent)
            yield _header(member)
            return
    if path.is_dir():
        identity = _identity(path)
        if identity in parents:
            raise _unstorable_member(path, "it is a link to a folder that contains it")
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        yield _header(member)
        yield from _members(path, name, names_by_target, (*parents, identity))
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


def _identity(path: Path) -> _Identity:
    status = path.stat()
    return status.st_dev, status.st_ino


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
