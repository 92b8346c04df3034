"""Digests of the user's additions to cache keys."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from flowyml_aws.caching.fingerprint import Fingerprinter
from flowyml_aws.core.additions import Env
from flowyml_aws.core.errors import InvalidStepError
from flowyml_aws.core.step import Step

__all__ = ["AdditionReader"]

_CHUNK_BYTES = 1 << 20


@dataclass(slots=True)
class AdditionReader:
    """Reads the additions to the keys of one plan, each file once.

    Attributes:
        environment: Environment variables of this machine.
        common: Additions to the keys of all steps.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    common: tuple[Any, ...] = ()
    _digests: dict[Path, str] = field(default_factory=dict)

    def read(self, step: Step, fingerprinter: Fingerprinter) -> dict[str, str]:
        """Return the digest of each addition to the key of a step, by its description.

        Args:
            step: The step.
            fingerprinter: Fingerprinter of the pipeline's steps.

        Raises:
            InvalidStepError: A file can't be read, or a value can't be compared.
        """
        digests = {}
        of_pipelines = (*self.common, *(() if step.scope is None else step.scope.cache_on))
        for origin, values in (
            ("cache_on", step.cache_on),
            ("cache_on of the pipeline", of_pipelines),
        ):
            for position, value in enumerate(values):
                place = origin if len(values) == 1 else f"{origin}, item {position + 1}"
                label, digest = self._one(step.name, value, place, fingerprinter)
                digests[label] = digest
        return digests

    def _one(
        self, step: str, value: Any, place: str, fingerprinter: Fingerprinter
    ) -> tuple[str, str]:
        if isinstance(value, Env):
            text = self.environment.get(value.name)
            digest = fingerprinter.read_value(text, place).digest
            return f"environment variable {value.name} of this machine", digest
        if isinstance(value, PurePath):
            path = Path(value)
            return f"{'folder' if path.is_dir() else 'file'} {path}", self._content(step, path)
        read = fingerprinter.read_value(value, place)
        if read.opaque:
            raise InvalidStepError(
                what=f"Step {step!r}: a value of cache_on can't be compared: "
                f"{', '.join(read.opaque)}",
                why="its content is unknown, so a change would not be noticed",
                fix="pass what counts: numbers, strings, lists, paths, Env(NAME)",
            )
        return place, read.digest

    def _content(self, step: str, path: Path) -> str:
        if path not in self._digests:
            try:
                self._digests[path] = _digest_of_path(path)
            except OSError as error:
                raise InvalidStepError(
                    what=f"Step {step!r}: {path} in cache_on can't be read",
                    why=f"{error.strerror or error}: {error.filename or path}",
                    fix="correct the path; it is read on this machine, relative to "
                    f"{Path.cwd()}, while the run is planned",
                ) from error
        return self._digests[path]


def _digest_of_path(path: Path) -> str:
    """Return the SHA-256 of a file's content, or of a folder's names and contents, as hex."""
    if not path.is_dir():
        return _digest_of_file(path)
    digest = hashlib.sha256(b"folder")
    for name, content in sorted(_entries(path, "", (path.resolve(),))):
        digest.update(b"%d:%b%b;" % (len(name), name, content.encode()))
    return digest.hexdigest()


def _entries(folder: Path, prefix: str, around: tuple[Path, ...]) -> Iterator[tuple[bytes, str]]:
    """Yield the entries of a folder and of its subfolders: their relative path and content.

    Args:
        folder: The folder.
        prefix: Its path in the outermost folder.
        around: Folders that contain it; a symbolic link to one of them is not followed.
    """
    for path in folder.iterdir():
        name = f"{prefix}{path.name}"
        if not path.is_dir():
            yield os.fsencode(name), _digest_of_file(path)
        elif (real := path.resolve()) in around:
            yield os.fsencode(name), "cycle"
        else:
            yield os.fsencode(name), "folder"
            yield from _entries(path, f"{name}/", (*around, real))


def _digest_of_file(path: Path) -> str:
    digest = hashlib.sha256(b"file")
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is not a file or a folder", str(path))
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
