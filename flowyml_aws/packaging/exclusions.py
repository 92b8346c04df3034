"""Files that are never bundled unless `include` names them: secrets, environments, outputs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path, PurePosixPath

__all__ = ["Excluded", "Exclusions"]

# Files with these names usually contain a password or a key. Python modules are code.
_SECRET_FILES = (
    ".env",
    ".env.*",
    "*.env",
    "credentials*",
    "secrets.*",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "*.p12",
    "*.pfx",
    "*.keystore",
    "*.jks",
    ".netrc",
    ".pgpass",
    ".pypirc",
    ".git-credentials",
    ".htpasswd",
)
_NO_SECRET_FILES = ("*.py", ".env.example", ".env.sample", ".env.template", "*.example.env")
_SECRET_FOLDERS = (".aws", ".ssh", ".gnupg", ".kube", ".azure", ".docker")
_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY")
_KEY_FILE_MAX_BYTES = 64 * 1024

_OUTPUT_FOLDERS = (
    "mlruns",
    "mlartifacts",
    "wandb",
    "lightning_logs",
    ".ipynb_checkpoints",
    ".terraform",
    ".dvc/cache",
    ".dvc/tmp",
)
_BUILD_FOLDERS = ("build", "dist", "*.egg-info", ".eggs")  # unless they are Python packages
_ENVIRONMENT_FOLDERS = (".venv", "venv")
_CACHE_FOLDERS = ("__pycache__", ".git", ".*_cache", ".tox", ".nox", "node_modules", ".flowyml")


@dataclass(frozen=True, slots=True, order=True)
class Excluded:
    """A file or folder that is not bundled.

    Attributes:
        path: Path relative to the project; folders end with `/`.
        reason: Noun phrase, such as "virtual environment".
        is_notable: False for caches and environments that no user expects in a bundle.
    """

    path: str
    reason: str
    is_notable: bool = True


class Exclusions:
    """Decides which files of a folder are not bundled.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder_of = cache(self._folder)

    def of_file(self, name: str) -> Excluded | None:
        """Return the exclusion of a file, or of a folder that contains it; None if it is bundled.

        Args:
            name: Path relative to the root, with `/`.
        """
        path = PurePosixPath(name)
        for parent in (*reversed(path.parents[:-1]),):
            if (excluded := self._folder_of(str(parent))) is not None:
                return excluded
        if _matches(path.name, _SECRET_FILES) and not _matches(path.name, _NO_SECRET_FILES):
            return Excluded(name, "likely secret")
        if _is_private_key(self._root / name):
            return Excluded(name, "private key")
        return None

    def of_folder(self, name: str) -> Excluded | None:
        """Return the exclusion of a folder, without that of its parents."""
        return self._folder_of(name)

    def _folder(self, name: str) -> Excluded | None:
        folder, base = self._root / name, PurePosixPath(name).name
        if _matches(base, _CACHE_FOLDERS):
            return Excluded(f"{name}/", "cache", is_notable=False)
        if base in _ENVIRONMENT_FOLDERS:
            return Excluded(f"{name}/", "virtual environment", is_notable=False)
        if (folder / "pyvenv.cfg").is_file() or (folder / "conda-meta").is_dir():
            return Excluded(f"{name}/", "virtual environment")
        if base in _SECRET_FOLDERS:
            return Excluded(f"{name}/", "likely secrets")
        if any(name == output or name.endswith(f"/{output}") for output in _OUTPUT_FOLDERS):
            return Excluded(f"{name}/", "output of a tool")
        if _matches(base, _BUILD_FOLDERS) and not (folder / "__init__.py").is_file():
            return Excluded(f"{name}/", "build output")
        return None


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _is_private_key(path: Path) -> bool:
    try:
        if path.suffix == ".py" or path.stat().st_size > _KEY_FILE_MAX_BYTES:
            return False
        with path.open("rb") as file:
            return _PRIVATE_KEY.match(file.read(80).lstrip()) is not None
    except OSError:  # reported when the file is packed
        return False
