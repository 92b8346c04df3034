"""The project's files as a deterministic archive: unchanged code has an unchanged digest."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import zstandard

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.packaging.files import ProjectFiles

__all__ = ["BundleLimits", "SourceBundle", "bundle_notes", "make_bundle"]

MIB = 2**20
_MAX_NAMED = 8
_EXCLUDE_HINT = "list it in .flowymlignore (.gitignore syntax) if the steps do not read it"


@dataclass(frozen=True, slots=True)
class BundleLimits:
    """Sizes of files before compression.

    Attributes:
        large_file_bytes: Size from which a file is mentioned.
        large_total_bytes: Total size from which the largest files are mentioned.
        max_total_bytes: Total size above which a bundle is refused: it probably contains data.
    """

    large_file_bytes: int = 10 * MIB
    large_total_bytes: int = 25 * MIB
    max_total_bytes: int = 50 * MIB


@dataclass(frozen=True, slots=True)
class SourceBundle:
    """An archive of the project.

    Attributes:
        data: A tar archive, compressed with zstd.
        sha256: Digest of `data`, in hex.
        size_bytes: Total size of the files before packing.
        files: Number of files.
    """

    data: bytes
    sha256: str
    size_bytes: int
    files: int


def bundle_notes(files: ProjectFiles, limits: BundleLimits | None = None) -> tuple[str, ...]:
    """Return notes for the user on large files and on files that are left out.

    Args:
        files: Files of the project.
        limits: Sizes for notes and for refusal.

    Raises:
        SettingsError: The files are too large in total, or one can't be read.
    """
    limits = limits or BundleLimits()
    sizes = _sizes(files.paths)
    total = sum(sizes.values())
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:3]
    named = ", ".join(f"{name} ({_mib(size)})" for name, size in largest)
    if total > limits.max_total_bytes:
        raise SettingsError(
            what=f"The bundle is too large: the project's files total {_mib(total)}",
            why=f"every job downloads them; the limit is {_mib(limits.max_total_bytes)}; "
            f"the largest are {named}",
            fix=f"{_EXCLUDE_HINT}, or raise the setting max_bundle_mib",
        )
    notes = [
        f"{name} is {_mib(size)} and is part of the bundle: {_EXCLUDE_HINT}"
        for name, size in largest
        if size > limits.large_file_bytes
    ]
    if total > limits.large_total_bytes and not notes:
        notes = [
            f"the project's files total {_mib(total)}; the largest are {named}: {_EXCLUDE_HINT}"
        ]
    if files.added:
        shown = ", ".join(map(str, files.added[:_MAX_NAMED]))
        rest = len(files.added) - _MAX_NAMED
        more = f" and {rest} more" if rest > 0 else ""
        notes.append(f"added to the bundle, because the program imports it: {shown}{more}")
    if files.excluded:
        shown = ", ".join(f"{e.path} ({e.reason})" for e in files.excluded[:_MAX_NAMED])
        rest = len(files.excluded) - _MAX_NAMED
        more = f" and {rest} more" if rest > 0 else ""
        notes.append(f"not in the bundle: {shown}{more}; the setting `include` adds files")
    return tuple(notes)


def make_bundle(files: Mapping[str, Path]) -> SourceBundle:
    """Pack files, sorted by name, with fixed times, owners and modes.

    Args:
        files: Paths by their name in the bundle.

    Raises:
        SettingsError: A file can't be read.
    """
    facts = _facts(files)
    if _latest and _latest[0][0] == facts:
        return _latest[0][1]
    total = sum(size for *_, size in facts)
    packed = io.BytesIO()
    compressor = zstandard.ZstdCompressor(level=3)
    with (
        compressor.stream_writer(packed, closefd=False) as stream,
        tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name in sorted(files):
            with _translate_read_errors(files[name]):
                _add(tar, name, files[name])
    data = packed.getvalue()
    bundle = SourceBundle(data, hashlib.sha256(data).hexdigest(), total, len(files))
    _latest[:] = [(facts, bundle)]
    return bundle


_Facts = list[tuple[str, int, int, int]]

_latest: list[tuple[_Facts, SourceBundle]] = []  # the last bundle of this process, if any


def _facts(files: Mapping[str, Path]) -> _Facts:
    """Return name, inode, time of the last change and size of each file."""
    facts = []
    for name, path in sorted(files.items()):
        with _translate_read_errors(path):
            stat = path.stat()
        facts.append((name, stat.st_ino, stat.st_ctime_ns, stat.st_size))
    return facts


@contextmanager
def _translate_read_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SettingsError(
            what=f"{path} can't be packed into the bundle",
            why=f"{type(error).__name__}: {error.strerror or error}",
            fix=f"make it readable and do not change it while the run starts, or {_EXCLUDE_HINT}",
        ) from error


def _add(tar: tarfile.TarFile, name: str, path: Path) -> None:
    with path.open("rb") as file:
        stat = os.fstat(file.fileno())
        entry = tarfile.TarInfo(name)
        entry.size = stat.st_size
        # Like git: only the owner's execute permission counts, whatever the umask.
        entry.mode = 0o755 if stat.st_mode & 0o100 else 0o644
        tar.addfile(entry, file)


def _sizes(files: Mapping[str, Path]) -> dict[str, int]:
    sizes = {}
    for name, path in files.items():
        with _translate_read_errors(path):
            sizes[name] = path.stat().st_size
    return sizes


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / MIB:.3g} MiB" if size_bytes < 10 * MIB else f"{size_bytes // MIB} MiB"
