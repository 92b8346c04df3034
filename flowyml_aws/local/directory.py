"""Artifact store in a directory."""

from __future__ import annotations

import errno
import hashlib
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from flowyml_aws.artifacts.content import Buffer, FilePiece, Parts
from flowyml_aws.artifacts.errors import UnstorableValueError
from flowyml_aws.artifacts.keys import check_key, check_prefix
from flowyml_aws.artifacts.parallel import for_each_part
from flowyml_aws.artifacts.store import ObjectEntry
from flowyml_aws.core import clock
from flowyml_aws.core.errors import (
    ArtifactNotFoundError,
    DamagedArtifactError,
    FlowymlError,
    SettingsError,
)
from flowyml_aws.core.private_files import make_folder, make_private_folder

__all__ = ["DirectoryArtifactStore"]

_INCOMING = ".incoming"  # no key starts with a dot
_MAX_CHARACTERS = 300  # of a path in a message
_ATTEMPTS = 50  # each failure is a race lost to `delete`, which ends
_SPACE_INTERVAL_S = 5.0
_FULL = (errno.ENOSPC, errno.EDQUOT)


class DirectoryArtifactStore:
    """Objects as files below a directory, which is created by the first write.

    Safe between processes: a file is written under a temporary name, then linked or renamed.

    Args:
        path: The directory. If it is created here, git ignores it, and only the user can read it.
            Otherwise, files can be read and written by those who can read and write the directory,
            as far as the umask allows.
        wait_s: Seconds for which `create` waits while the disk is full.
        say: Called with a sentence when it begins to wait.
    """

    def __init__(
        self, path: Path, wait_s: float = 0.0, say: Callable[[str], None] = lambda _: None
    ) -> None:
        with _translate_errors("use", path):
            self._root = path.resolve()
        self._is_checked = False
        self._wait_s, self._say = wait_s, say

    @classmethod
    def from_uri(
        cls, uri: str, wait_s: float = 0.0, say: Callable[[str], None] = lambda _: None
    ) -> DirectoryArtifactStore:
        """Return the store at a URI.

        Args:
            uri: URI of the store.
            wait_s, say: Same as in the class.

        Raises:
            SettingsError: The URI does not begin with `file:///`.
        """
        if not uri.startswith("file:///"):
            raise SettingsError(
                what=f"Invalid directory store URI {uri!r}",
                why="it must begin with file:///",
                fix="write file:// and the absolute path of the directory",
            )
        return cls(Path(unquote(uri.removeprefix("file://"))), wait_s, say)

    @property
    def uri(self) -> str:
        """URI of the store: `file:///…`."""
        return self._root.as_uri()

    def exists(self) -> bool:
        """Return whether the directory exists."""
        with _translate_errors("use", self._root):
            return self._root.is_dir()

    def now(self) -> float:
        """Return the time of the file system, in seconds since the epoch.

        It may be another machine's, which has another clock.
        """
        try:
            with self._temporary_file([b""]) as path:
                return path.stat().st_mtime
        except (SettingsError, OSError):  # this client may not write
            return time.time()

    def modified_at(self, keys: Iterable[str]) -> float:
        """Return when the newest of some objects was written; 0 if none exists."""
        newest = 0.0
        for key in keys:
            with suppress(OSError):
                newest = max(newest, self.path(key).stat().st_mtime)
        return newest

    def check(self) -> None:
        """Check that the directory can be written, or created. Nothing is written.

        Raises:
            SettingsError: It can't.
        """
        with _writing(self._root):
            folder = self._root
            while not folder.exists():
                folder = folder.parent
            number = errno.ENOTDIR
            if folder.is_dir():
                number = errno.EROFS if os.statvfs(folder).f_flag & os.ST_RDONLY else errno.EACCES
                if os.access(folder, os.W_OK | os.X_OK):
                    return
            raise OSError(number, os.strerror(number), str(folder))

    def path(self, key: str) -> Path:
        """Return the path of an object, whether or not it exists."""
        check_key(key)
        return self._root / key

    def get(self, key: str) -> bytes:
        """Return the bytes of a document."""
        with self._reading(key) as path:
            return path.read_bytes()

    def put(self, key: str, data: bytes) -> None:
        """Write a document, replacing an existing one."""
        self._target(key)
        with self._temporary_file([data]) as path, _writing(self._root):
            self._publish(path, key, os.replace)

    def create(self, key: str, data: bytes) -> bool:
        """Create the document if it does not exist. Return False otherwise.

        Whoever creates a document has finished something, so it waits for space on the disk.
        """
        started_at, is_waiting = clock.monotonic(), False
        while True:
            try:
                return self._create(key, data)
            except SettingsError as error:
                is_late = clock.monotonic() - started_at + _SPACE_INTERVAL_S > self._wait_s
                if is_late or not _is_full(error.__cause__):
                    raise
                if not is_waiting:
                    is_waiting = True
                    self._say(f"waiting for space for up to {self._wait_s:g} s\n{error}")
            clock.sleep(_SPACE_INTERVAL_S)

    def _create(self, key: str, data: bytes) -> bool:
        self._target(key)
        with self._temporary_file([data]) as path:
            try:
                self._publish(path, key, os.link)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EXDEV):
                    with _writing(self._root):
                        raise
                raise SettingsError(
                    what=f"{self._root} can't be used as a store",
                    why=f"its file system does not support hard links: {error.strerror}",
                    fix="put the store on a local disk or a network file system such as NFS",
                ) from error
        return True

    def age_s(self, key: str) -> float:
        """Return the seconds since a document was written, by the clock of the file system."""
        with self._reading(key) as path:
            written_at = path.stat().st_mtime
        with self._temporary_file([]) as now:
            return clock.passed_s(max(0.0, now.stat().st_mtime - written_at))

    def children(self, prefix: str) -> list[str]:
        """Return the names directly below a prefix (`""` or ending in `/`), sorted."""
        check_prefix(prefix)
        with _translate_errors("read", self._root):
            try:
                names = [path.name for path in (self._root / prefix).iterdir()]
            except (FileNotFoundError, NotADirectoryError):
                return []
        return sorted(name for name in names if not name.startswith("."))

    def upload(self, key: str, content: Parts) -> None:
        """Write a content in chunks, unless the object already has the same content."""
        target = self._target(key)
        if _has_content(target, content):
            with _writing(self._root), suppress(FileNotFoundError):
                os.utime(target)
                return
        with self._temporary_file(content.chunks()) as path, _writing(self._root):
            self._publish(path, key, os.replace)

    def holds(self, key: str, sha256: str, size_bytes: int) -> bool:
        """Return whether an object exists, and has this size. The digest is not compared."""
        try:
            with self._reading(key) as path:
                return path.stat().st_size == size_bytes
        except ArtifactNotFoundError:
            return False

    def read_into(self, key: str, offset: int, buffer: memoryview) -> int:
        """Fill a buffer with an object's bytes from an offset. Return the object's size.

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
                        fix="delete it, then run the step that produces it again",
                    )
                filled += count
            return os.fstat(file.fileno()).st_size

    def walk(self, prefix: str) -> Iterator[ObjectEntry]:
        """Yield every object below a prefix (`""` or ending in `/`), in any order."""
        check_prefix(prefix)
        for folder, names, files in os.walk(self._root / prefix):
            names[:] = [name for name in names if not name.startswith(".")]
            for name in files:
                path = Path(folder, name)
                # The file may have been deleted since the folder was listed.
                with suppress(FileNotFoundError):
                    stat = path.stat()
                    if not name.startswith("."):
                        key = path.relative_to(self._root).as_posix()
                        yield ObjectEntry(key, stat.st_size, stat.st_mtime)

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects, and folders that become empty. Missing objects are ignored."""
        for key in keys:
            path = self.path(key)
            with suppress(OSError):  # the folder is not empty
                path.unlink(missing_ok=True)
                for folder in path.parents:
                    if folder == self._root:
                        break
                    folder.rmdir()

    def clear_unfinished(self, before: float) -> int:
        """Delete unfinished files last written before a time. Return how many there were."""
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
        with _translate_errors("read", self._root):
            try:
                yield path
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
                raise ArtifactNotFoundError(
                    what=f"No object at {path.as_uri()}",
                    why="the step that produces it has not run, has failed, or uses another store",
                    fix="check the run's status, and the path of the store",
                ) from error

    def _target(self, key: str) -> Path:
        path = self.path(key)
        with _writing(self._root):
            self._create_root()
            _create_folder(path.parent, self._mode)
        return path

    def _publish(self, path: Path, key: str, move: Callable[[Path, Path], None]) -> None:
        """Give a file its final name, even if `delete` has just removed the empty folder."""
        for _ in range(_ATTEMPTS - 1):
            with suppress(FileNotFoundError):
                return move(path, self._target(key))
        return move(path, self._target(key))

    @property
    def _mode(self) -> int:
        """Mode of new folders: that of the store's directory."""
        return self._root.stat().st_mode & 0o777

    def open_new(self, key: str) -> BinaryIO:
        """Open a new file for a program that writes into it, instead of an object."""
        return open(self._target(key), "wb", opener=self._opener)

    def _opener(self, path: str, flags: int) -> int:
        return os.open(path, flags, self._mode & 0o666)

    def _create_root(self) -> None:
        incoming = self._root / _INCOMING
        if self._is_checked and incoming.is_dir():
            return
        make_private_folder(self._root.parent)
        try:
            self._root.mkdir(0o700)
        except FileExistsError:
            pass  # the user's own directory: its .gitignore is theirs
        else:
            ignore = self._root / ".gitignore"
            with open(ignore, "w", opener=self._opener) as file:
                file.write("*\n")
        incoming.mkdir(self._mode, exist_ok=True)
        self._is_checked = True

    @contextmanager
    def _temporary_file(self, chunks: Iterable[Buffer]) -> Iterator[Path]:
        path = self._root / _INCOMING / uuid.uuid4().hex
        try:
            with _writing(self._root):
                file = open(path, "xb", buffering=0, opener=self._opener)  # noqa: SIM115
            with file:
                for chunk in chunks:  # reads the user's files: their errors are not the store's
                    rest = memoryview(chunk)
                    with _writing(self._root):
                        while len(rest):
                            rest = rest[file.write(rest) :]
            yield path
        finally:
            with suppress(OSError):
                path.unlink(missing_ok=True)


@contextmanager
def _translate_errors(verb: str, root: Path) -> Iterator[None]:
    """Translate errors of the operating system."""
    try:
        yield
    except FlowymlError:
        raise  # some are OSErrors or ValueErrors, too
    except (OSError, ValueError) as error:  # the latter: a null character in the path
        name = getattr(error, "filename", None)
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingsError(
            what=f"Can't {verb} the store {str(root)[:_MAX_CHARACTERS]}",
            why=f"{str(name)[:_MAX_CHARACTERS]}: {reason}" if name else reason,
            fix="free disk space (`flowyml-aws gc --older-than 30d` deletes old runs), or set "
            "`local_store` to a folder on another disk"
            if _is_full(error)
            else "use a directory that is writable, or a path at which one can be created",
        ) from error


def _is_full(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno in _FULL


def _writing(root: Path) -> AbstractContextManager[None]:
    return _translate_errors("write to", root)


def _create_folder(path: Path, mode: int) -> None:
    """Create a folder, even if `delete` removes it at the same time."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return make_folder(path, mode)
        except FileNotFoundError:
            continue
        except FileExistsError as error:  # it existed and is gone now, or it is a file
            if Path(error.filename).is_file():
                raise
    return make_folder(path, mode)


def _has_content(path: Path, content: Parts) -> bool:
    try:
        existing = FilePiece.at(path)
        if existing.size_bytes != content.size_bytes:
            return False
        # Compare the bytes, too: storing a damaged object again must repair it.
        ends = list(accumulate(content.part_sizes))
        return content.part_digests == for_each_part(
            len(ends), lambda n: _digest(existing, ends[n] - content.part_sizes[n], ends[n])
        )
    except (FileNotFoundError, UnstorableValueError):  # the latter if another process replaced it
        return False


def _digest(piece: FilePiece, start: int, end: int) -> bytes:
    digest = hashlib.sha256()
    for chunk in piece.between(start, end):
        digest.update(chunk)
    return digest.digest()
