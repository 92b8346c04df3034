"""Projects of a few modules, whose step `train` is read while they are imported."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flowyml_aws.caching.fingerprint import Fingerprinter, parts

__all__ = ["Projects", "Read"]


@dataclass(frozen=True)
class Read:
    """Fingerprint and parts of the step `train`, read while its modules were imported."""

    fingerprint: str
    parts: Mapping[str, str]
    opaque: tuple[str, ...]


class Projects:
    """Writes modules to new folders, and reads the step `train` from them."""

    def __init__(self, folder: Path, files: Mapping[str, str]) -> None:
        self.folder, self.files = folder, files
        self.count = 0

    def write(self, files: Mapping[str, str]) -> Path:
        self.count += 1
        folder = self.folder / f"project_{self.count}"
        folder.mkdir()
        for name, text in files.items():
            (folder / f"{name}.py").write_text(text, "utf-8")
        return folder

    def read(self, files: Mapping[str, str], module: str = "pipe") -> Read:
        folder = self.write(files)
        sys.path.insert(0, str(folder))
        try:
            importlib.invalidate_caches()
            train = importlib.import_module(module).train
            read = Fingerprinter().read(train)
            return Read(read.digest, parts(train), read.opaque)
        finally:
            sys.path.remove(str(folder))
            for name in files:
                sys.modules.pop(name, None)

    def changed(self, *edits: tuple[str, str, str]) -> Read:
        """Read the project after edits: module, old text, new text."""
        files = dict(self.files)
        for module, old, new in edits:
            assert old in files[module], f"{old!r} is not in {module}"
            files[module] = files[module].replace(old, new)
        return self.read(files)
