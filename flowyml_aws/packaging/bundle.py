"""The project's files as one deterministic archive: unchanged code has an unchanged digest."""

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

__all__ = ["BundleLimits", "SourceBundle", "make_bundle"]

MIB = 2**20
_HOW_TO_LEAVE_OUT = "name it in .flowymlignore (in .gitignore's syntax) if the steps do not read it"


@dataclass(frozen=True, slots=True)
class BundleLimits:
    """Sizes that are worth a warning, and the total that is data, surely, and not code."""

    large_file_bytes: int = 10 * MIB
    large_total_bytes: int = 100 * MIB
    refused_total_bytes: int = 1024 * MIB


@dataclass(frozen=True, slots=True)
class SourceBundle:
    """An archive of the project.

    Attributes:
        data: tar, compressed by zstd.
        sha256: Of `data`, in hex.
        size_bytes: Of the files before packing.
        files: How many.
        warnings: What makes it needlessly large.
    """

    data: bytes
    sha256: str
    size_bytes: int
    files: int
    warnings: tuple[str, ...]


def make_bundle(files: Mapping[str, Path], limits: BundleLimits | None = None) -> SourceBundle:
    """Pack files, sorted by name, with fixed times, owners and modes.

    Args:
        files: By their name in the bundle.
        limits: When to warn and when to refuse.

    Raises:
        SettingsError: They are too large together, or one can't be read.
    """
    limits = limits or BundleLimits()
    sizes = {}
    for name, path in files.items():
        with _told_by_name(path):
            sizes[name] = path.stat().st_size
    total = sum(sizes.values())
    warnings = _warnings(sizes, total, limits)
    packed = io.BytesIO()
    compressor = zstandard.ZstdCompressor(level=3)
    with (
        compressor.stream_writer(packed, closefd=False) as stream,
        tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name in sorted(files):
            with _told_by_name(files[name]):
                _add(tar, name, files[name])
    data = packed.getvalue()
    return SourceBundle(data, hashlib.sha256(data).hexdigest(), total, len(files), warnings)


@contextmanager
def _told_by_name(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SettingsError(
            what=f"{path} can't be packed",
            why=f"{type(error).__name__}: {error.strerror or error}",
            fix=f"make it readable and do not change it meanwhile, or {_HOW_TO_LEAVE_OUT}",
        ) from error


def _add(tar: tarfile.TarFile, name: str, path: Path) -> None:
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        entry = tarfile.TarInfo(name)
        entry.size = found.st_size
        # As git: only the owner's right to execute counts, whatever the umask.
        entry.mode = 0o755 if found.st_mode & 0o100 else 0o644
        tar.addfile(entry, file)


def _warnings(sizes: Mapping[str, int], total: int, limits: BundleLimits) -> tuple[str, ...]:
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:3]
    named = ", ".join(f"{name} ({_mib(size)})" for name, size in largest)
    if total > limits.refused_total_bytes:
        raise SettingsError(
            what=f"The project's files are {_mib(total)}",
            why=f"they travel to every job; the limit is {_mib(limits.refused_total_bytes)}; "
            f"the largest are {named}",
            fix=_HOW_TO_LEAVE_OUT,
        )
    found = [
        f"{name} is {_mib(size)} and travels with the code: {_HOW_TO_LEAVE_OUT}"
        for name, size in largest
        if size > limits.large_file_bytes
    ]
    if total > limits.large_total_bytes and not found:
        found = [f"the code is {_mib(total)}; the largest are {named}: {_HOW_TO_LEAVE_OUT}"]
    return tuple(found)


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / MIB:.3g} MiB" if size_bytes < 10 * MIB else f"{size_bytes // MIB} MiB"
