"""A directory as the store of a run."""

from __future__ import annotations

import errno
import hashlib
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import accumulate
from pathlib import Path
from urllib.parse import unquote

from flowyml_aws.artifacts.content import Buffer, FilePiece, Parts
from flowyml_aws.artifacts.errors import UnstorableValueError
from flowyml_aws.artifacts.keys import check_key, check_prefix
from flowyml_aws.artifacts.parallel import for_each_part
from flowyml_aws.artifacts.store import ObjectEntry
from flowyml_aws.core.errors import ArtifactNotFoundError, DamagedArtifactError, SettingsError

__all__ = ["DirectoryArtifactStore"]

_INCOMING = ".incoming"  # no key starts with a dot
_ATTEMPTS = 50  # each is a race lost to `delete`, which ends


class DirectoryArtifactStore:
    """Objects as files below a directory, which is made at the first write.

    Safe between processes: a file is written aside, then linked or renamed under its name.

    Args:
        path: The directory. If it is made here, git ignores it.
    """

    def __init__(self, path: Path) -> None:
        self._root = path.resolve()

    @classmethod
    def from_uri(cls, uri: str) -> DirectoryArtifactStore:
        """The store that has this URI.

        Raises:
            SettingsError: It is no `file:///…`.
        """
        if not uri.startswith("file:///"):
            raise SettingsError(
                what=f"{uri!r} is no directory store",
                why="a URI of one begins with file:///",
                fix="give the directory as an absolute path behind file://",
            )
        return cls(Path(unquote(uri.removeprefix("file://"))))

    @property
    def uri(self) -> str:
        """`file:///…`."""
        return self._root.as_uri()

    def path(self, key: str) -> Path:
        """Where an object lies, or would."""
        check_key(key)
        return self._root / key

    def get(self, key: str) -> bytes:
        """A document, whole."""
        with self._reading(key) as path:
            return path.read_bytes()

    def put(self, key: str, data: bytes) -> None:
        """Write a document, over what lies there."""
        self._target(key)
        with self._written_aside([data]) as path:
            self._publish(path, key, os.replace)

    def create(self, key: str, data: bytes) -> bool:
        """Write a document only where nothing lies; False if something does."""
        self._target(key)
        with self._written_aside([data]) as path:
            try:
                self._publish(path, key, os.link)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EXDEV):
                    raise
                raise SettingsError(
                    what=f"{self._root} can't be a store",
                    why=f"its file system makes no hard links: {error.strerror}",
                    fix="put the store on a local disk or a network file system such as NFS",
                ) from error
        return True

    def children(self, prefix: str) -> list[str]:
        """Names directly below a prefix (`""` or ending in `/`), sorted."""
        check_prefix(prefix)
        try:
            names = [path.name for path in (self._root / prefix).iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(name for name in names if not name.startswith("."))

    def upload(self, key: str, content: Parts) -> None:
        """Stream a content, unless the very same already lies there."""
        target = self._target(key)
        if _lies_at(target, content):
            with suppress(FileNotFoundError):
                os.utime(target)
                return
        with self._written_aside(content.chunks()) as path:
            self._publish(path, key, os.replace)

    def read_into(self, key: str, offset: int, buffer: memoryview) -> int:
        """Fill a buffer with the object's bytes from an offset; how many the object has.

        Raises:
            DamagedArtifactError: The object ends before the buffer is full.
        """
        with self._reading(key) as path, path.open("rb", buffering=0) as file:
            filled = 0
            while filled < len(buffer):
                count = os.preadv(file.fileno(), [buffer[filled:]], offset + filled)
                if count == 0:
                    size = os.fstat(file.fileno()).st_size
                    raise DamagedArtifactError(
                        what=f"{path.as_uri()} is too short",
                        why=f"it has {size} bytes, expected at least {offset + len(buffer)}",
                        fix="remove it, then run what produces it again",
                    )
                filled += count
            return os.fstat(file.fileno()).st_size

    def walk(self, prefix: str) -> Iterator[ObjectEntry]:
        """Every object below a prefix (`""` or ending in `/`), in any order."""
        check_prefix(prefix)
        for folder, names, files in os.walk(self._root / prefix):
            names[:] = [name for name in names if not name.startswith(".")]
            for name in files:
                path = Path(folder, name)
                # What is gone by now is not there.
                with suppress(FileNotFoundError):
                    found = path.stat()
                    if not name.startswith("."):
                        key = path.relative_to(self._root).as_posix()
                        yield ObjectEntry(key, found.st_size, found.st_mtime)

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects, and folders that are empty then; one that is not there is no error."""
        for key in keys:
            path = self.path(key)
            with suppress(OSError):  # the folder is not empty
                path.unlink(missing_ok=True)
                for folder in path.parents:
                    if folder == self._root:
                        break
                    folder.rmdir()

    def clear_unfinished(self, before: float) -> int:
        """Remove files that writers left that died before that time; how many they were."""
        count = 0
        for path in (self._root / _INCOMING).glob("*"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    path.unlink()
                    count += 1
        return count

    @contextmanager
    def _reading(self, key: str) -> Iterator[Path]:
        path = self.path(key)
        try:
            yield path
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise ArtifactNotFoundError(
                what=f"Nothing lies at {path.as_uri()}",
                why="what writes it has not run, has failed, or uses another store",
                fix="look at the run's status, and at the store's path",
            ) from error

    def _target(self, key: str) -> Path:
        path = self.path(key)
        try:
            self._make_root()
            _make_folder(path.parent)
        except (FileExistsError, NotADirectoryError, PermissionError) as error:
            raise SettingsError(
                what=f"Can't write to the store {self._root}",
                why=f"{error.filename}: {error.strerror}",
                fix="give a directory that can be written, or a path where one can be made",
            ) from error
        return path

    def _publish(self, path: Path, key: str, move: Callable[[Path, Path], None]) -> None:
        """Give a written file its name, though `delete` may just have removed the empty folder."""
        for _ in range(_ATTEMPTS - 1):
            with suppress(FileNotFoundError):
                return move(path, self._target(key))
        return move(path, self._target(key))

    def _make_root(self) -> None:
        incoming = self._root / _INCOMING
        if incoming.is_dir():
            return
        self._root.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._root.mkdir()
        except FileExistsError:
            pass  # the user's own: what git tracks in it is theirs to say
        else:
            (self._root / ".gitignore").write_text("*\n")
        incoming.mkdir(exist_ok=True)

    @contextmanager
    def _written_aside(self, chunks: Iterable[Buffer]) -> Iterator[Path]:
        path = self._root / _INCOMING / uuid.uuid4().hex
        try:
            with path.open("xb", buffering=0) as file:
                for chunk in chunks:
                    rest = memoryview(chunk)
                    while len(rest):
                        rest = rest[file.write(rest) :]
            yield path
        finally:
            path.unlink(missing_ok=True)


def _make_folder(path: Path) -> None:
    """Make a folder, though `delete` may remove it while it is being made."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return path.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError:
            continue
        except FileExistsError as error:  # it was there, and is gone now; or it is no folder
            if Path(error.filename).is_file():
                raise
    return path.mkdir(parents=True, exist_ok=True)


def _lies_at(path: Path, content: Parts) -> bool:
    try:
        found = FilePiece.at(path)
        if found.size_bytes != content.size_bytes:
            return False
        # Its bytes are looked at, too: what was damaged must be mended by storing it again.
        ends = list(accumulate(content.part_sizes))
        return content.part_digests == for_each_part(
            len(ends), lambda n: _digest(found, ends[n] - content.part_sizes[n], ends[n])
        )
    except (FileNotFoundError, UnstorableValueError):  # the latter if another process replaced it
        return False


def _digest(piece: FilePiece, start: int, end: int) -> bytes:
    digest = hashlib.sha256()
    for chunk in piece.between(start, end):
        digest.update(chunk)
    return digest.digest()
