"""A snapshot of the user's code: modules keep their paths, but their content is the snapshot's.

Jobs on this machine run in the user's folder, where they read and write the user's data. Their code
is the code that was submitted, even if its files change during the run.
"""

from __future__ import annotations

import io
import linecache
import os
import re
import sys
import tarfile
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import (
    BuiltinImporter,
    FrozenImporter,
    ModuleSpec,
    PathFinder,
    SourceFileLoader,
)
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

import zstandard

__all__ = [
    "Snapshot",
    "import_from",
    "is_outside_name",
    "loader_from",
    "outside_name",
    "read_snapshot",
    "remember_source",
]

Snapshot = Mapping[str, bytes]
"""Source files by their absolute path."""

_OUTSIDE = re.compile(r"@(\d+)/")  # the number of folders upwards


def outside_name(path: Path, root: Path) -> str:
    """Return the name in a bundle for a file or folder outside the project.

    Args:
        path: Absolute path.
        root: The project's root.
    """
    parts = Path(os.path.relpath(path, root)).parts
    upwards = parts.count("..")
    return "/".join((f"@{upwards}", *parts[upwards:]))


def is_outside_name(name: str) -> bool:
    """Return whether a name in a bundle is that of a file outside the project."""
    return _OUTSIDE.match(name) is not None


def _path_of(name: str, root: Path) -> Path:
    """Return the path of a file from its name in a bundle."""
    outside = _OUTSIDE.match(name)
    if outside is None:
        return root / name
    return root.parents[int(outside[1]) - 1] / name[outside.end() :]


def read_snapshot(packed: bytes, root: Path) -> Snapshot:
    """Return the source files of a bundle, by their absolute path.

    Args:
        packed: Bytes of the bundle.
        root: The project's root.

    Raises:
        tarfile.TarError, zstandard.ZstdError: The data is not a bundle.
    """
    sources = {}
    with (
        zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed)) as stream,
        tarfile.open(fileobj=stream, mode="r|") as tar,
    ):
        for member in tar:
            if (file := tar.extractfile(member)) is not None:
                sources[str(_path_of(member.name, root))] = file.read()
    return sources


def import_from(snapshot: Snapshot) -> Callable[[Path], bytes | None]:
    """Import modules from a snapshot from now on. Return a function that returns a file's source.

    Modules that the snapshot does not contain are imported from disk.
    """
    sys.meta_path.insert(0, _Finder(snapshot))

    def read(path: Path) -> bytes | None:
        source = snapshot.get(str(path))
        if source is not None:
            remember_source(str(path), source.decode("utf-8", "replace"))
        return source

    return read


def loader_from(snapshot: Snapshot, module: str, file: Path) -> SourceFileLoader | None:
    """Return the loader of a module in a snapshot, or None if the snapshot does not contain it."""
    source = snapshot.get(str(file))
    return None if source is None else _Loader(module, str(file), source)


def remember_source(file: str, source: str) -> None:
    """Let tracebacks show the lines of a source, whatever the file contains now."""
    # Without a modification time, `linecache` does not check the file.
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)


class _Finder:
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is None and _is_part_of_python(fullname):
            return None
        name = fullname.rpartition(".")[2]
        for entry in sys.path if path is None else path:
            base = f"{entry.rstrip('/') or Path.cwd()}/{name}"
            for file in (f"{base}/__init__.py", f"{base}.py"):
                if file in self._snapshot:
                    loader = loader_from(self._snapshot, fullname, Path(file))
                    return spec_from_file_location(fullname, file, loader=loader)
            spec = PathFinder.find_spec(fullname, [entry])
            if spec is not None and spec.loader is not None:
                return None  # in a folder before those of the snapshot
        return None


class _Loader(SourceFileLoader):
    def __init__(self, fullname: str, path: str, source: bytes) -> None:
        super().__init__(fullname, path)
        self._source = source

    def get_data(self, path: str) -> bytes:
        return self._source if path == self.path else super().get_data(path)

    def get_code(self, fullname: str) -> CodeType:
        # Not from or into `__pycache__`, which belongs to the file on disk.
        return compile(self._source, self.path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        remember_source(self.path, self._source.decode("utf-8", "replace"))
        super().exec_module(module)


def _is_part_of_python(name: str) -> bool:
    return BuiltinImporter.find_spec(name) is not None or FrozenImporter.find_spec(name) is not None
