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

__all__ = ["BundleLimits", "SourceBundle", "make_bundle"]

MIB = 2**20
_EXCLUDE_HINT = "list it in .flowymlignore (.gitignore syntax) if the steps do not read it"


@dataclass(frozen=True, slots=True)
class BundleLimits:
    """Sizes that cause a warning, and the total that is refused as data instead of code."""

    large_file_bytes: int = 10 * MIB
    large_total_bytes: int = 100 * MIB
    refused_total_bytes: int = 1024 * MIB


@dataclass(frozen=True, slots=True)
class SourceBundle:
    """An archive of the project.

    Attributes:
        data: A tar archive, compressed with zstd.
        sha256: Digest of `data`, in hex.
        size_bytes: Total size of the files before packing.
        files: Number of files.
        warnings: Warnings about large files that may be unnecessary.
    """

    data: bytes
    sha256: str
    size_bytes: int
    files: int
    warnings: tuple[str, ...]


def make_bundle(files: Mapping[str, Path], limits: BundleLimits | None = None) -> SourceBundle:
    """Pack files, sorted by name, with fixed times, owners and modes.

    Args:
        files: Paths by their name in the bundle.
        limits: Sizes for warnings and for refusal.

    Raises:
        SettingsError: The files are too large in total, or one can't be read.
    """
    limits = limits or BundleLimits()
    sizes = {}
    for name, path in files.items():
        with _translate_read_errors(path):
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
            with _translate_read_errors(files[name]):
                _add(tar, name, files[name])
    data = packed.getvalue()
    return SourceBundle(data, hashlib.sha256(data).hexdigest(), total, len(files), warnings)


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


def _warnings(sizes: Mapping[str, int], total: int, limits: BundleLimits) -> tuple[str, ...]:
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:3]
    named = ", ".join(f"{name} ({_mib(size)})" for name, size in largest)
    if total > limits.refused_total_bytes:
        raise SettingsError(
            what=f"The project is too large: its files total {_mib(total)}",
            why=f"every job downloads them; the limit is {_mib(limits.refused_total_bytes)}; "
            f"the largest are {named}",
            fix=_EXCLUDE_HINT,
        )
    warnings = [
        f"{name} is {_mib(size)} and is part of the bundle: {_EXCLUDE_HINT}"
        for name, size in largest
        if size > limits.large_file_bytes
    ]
    if total > limits.large_total_bytes and not warnings:
        warnings = [
            f"the project's files total {_mib(total)}; the largest are {named}: {_EXCLUDE_HINT}"
        ]
    return tuple(warnings)


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / MIB:.3g} MiB" if size_bytes < 10 * MIB else f"{size_bytes // MIB} MiB"
