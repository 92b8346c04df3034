"""The project's files as one deterministic archive: unchanged code has an unchanged digest."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import zstandard

from flowyml_aws.core.errors import SettingsError

__all__ = ["SourceBundle", "make_bundle"]

MIB = 2**20
_LARGE_FILE_BYTES = 10 * MIB
_LARGE_TOTAL_BYTES = 100 * MIB
_REFUSED_TOTAL_BYTES = 1024 * MIB
_HOW_TO_LEAVE_OUT = "name it in .flowymlignore (in .gitignore's syntax) if the steps do not read it"


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


def make_bundle(files: Mapping[str, Path]) -> SourceBundle:
    """Pack files, sorted by name, with fixed times, owners and modes.

    Raises:
        SettingsError: They are over 1 GiB: data, surely, and not code.
    """
    sizes = {name: path.stat().st_size for name, path in files.items()}
    total = sum(sizes.values())
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:3]
    named = ", ".join(f"{name} ({size / MIB:.0f} MiB)" for name, size in largest)
    if total > _REFUSED_TOTAL_BYTES:
        raise SettingsError(
            what=f"The project's files are {total / MIB:.0f} MiB",
            why=f"they travel to every job; the limit is 1 GiB; the largest are {named}",
            fix=_HOW_TO_LEAVE_OUT,
        )
    warnings = [
        f"{name} is {size / MIB:.0f} MiB and travels with the code: {_HOW_TO_LEAVE_OUT}"
        for name, size in largest
        if size > _LARGE_FILE_BYTES
    ]
    if total > _LARGE_TOTAL_BYTES and not warnings:
        warnings = [f"the code is {total / MIB:.0f} MiB; the largest are {named}"]

    packed = io.BytesIO()
    compressor = zstandard.ZstdCompressor(level=3)
    with (
        compressor.stream_writer(packed, closefd=False) as stream,
        tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name in sorted(files):
            with files[name].open("rb") as file:
                entry = tarfile.TarInfo(name)
                entry.size = os.fstat(file.fileno()).st_size
                entry.mode = 0o755 if os.access(files[name], os.X_OK) else 0o644
                tar.addfile(entry, file)
    data = packed.getvalue()
    return SourceBundle(data, hashlib.sha256(data).hexdigest(), total, len(files), tuple(warnings))
