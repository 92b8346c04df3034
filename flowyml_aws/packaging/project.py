"""The user's project: its root, its files, and what a job puts on `sys.path`."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pathspec

from flowyml_aws.core.errors import SettingsError

__all__ = ["Project", "find_project", "is_installed", "project_files"]

_MARKERS = (".git", "pyproject.toml")
_IGNORE_FILE = ".flowymlignore"
# Never code: left out where no git says so.
_NEVER = (".git", ".venv", "venv", "__pycache__", ".flowyml", "node_modules", ".*_cache", ".tox")


@dataclass(frozen=True, slots=True)
class Project:
    """Where the user's code is.

    Attributes:
        root: Nearest folder upwards with `.git` or `pyproject.toml`, else the script's own.
        folder: Where the client was started.
        search: The client's `sys.path`, in order, absolute.
    """

    root: Path
    folder: Path
    search: tuple[Path, ...]

    def relative_paths(self) -> tuple[str, ...]:
        """Entries for the job's `sys.path` below the root, in the client's order, then defaults."""
        inside = [path.relative_to(self.root).as_posix() for path in self.search if self.has(path)]
        return tuple(dict.fromkeys((*inside, ".", "src")))

    def relative_folder(self) -> str:
        """The working directory below the root; the root itself if the client is elsewhere."""
        return self.folder.relative_to(self.root).as_posix() if self.has(self.folder) else "."

    def has(self, path: Path) -> bool:
        """Whether a path lies in the project, and is no installed package in it."""
        return path.is_relative_to(self.root) and not is_installed(path)


def find_project(functions: Iterable[Any]) -> Project:
    """The project that these functions come from: that of the first one defined in a file."""
    folder = Path.cwd()
    script = next((f for function in functions if (f := _file_of(function)) is not None), None)
    start = script.parent if script else folder
    root = next(
        (place for place in (start, *start.parents) if any((place / m).exists() for m in _MARKERS)),
        start,
    )
    search = tuple(path for entry in sys.path if (path := Path(entry or ".").resolve()).is_dir())
    return Project(root, folder, search)


def is_installed(path: Path) -> bool:
    """Whether a path belongs to the interpreter or to an installed package."""
    paths = sysconfig.get_paths()
    homes = {Path(paths[key]) for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    homes |= {home.resolve() for home in homes}
    return any(path.is_relative_to(home) for home in homes) or "site-packages" in path.parts


def project_files(root: Path, include: Sequence[str] = ()) -> dict[str, Path]:
    """Files by their name in the bundle, sorted.

    Those that git tracks or would track (without git, all but caches and environments), minus
    what `.flowymlignore` names (in `.gitignore`'s syntax), plus `include`.

    Args:
        root: The project's root.
        include: Files or folders to add: below the root under their own path, others under their
            last name.

    Raises:
        SettingsError: An `include` does not exist.
    """
    ignore = _ignored(root)
    found = {
        name: path
        for name in (_tracked(root) if (root / ".git").exists() else _walked(root))
        if (path := root / name).is_file() and not ignore.match_file(name)
    }
    for entry in include:
        place = (root / entry).resolve()
        if not place.exists():
            raise SettingsError(
                what=f"include={entry!r} does not exist",
                why=f"there is nothing at {place}",
                fix="correct or remove it",
            )
        base = root if place.is_relative_to(root) else place.parent
        for path in [place] if place.is_file() else sorted(place.rglob("*")):
            if path.is_file():
                found[path.relative_to(base).as_posix()] = path
    return dict(sorted(found.items()))


def _file_of(function: Any) -> Path | None:
    code = getattr(function, "__code__", None)
    path = Path(code.co_filename) if code is not None else None
    if path is None or not path.is_file() or is_installed(path.resolve()):
        return None
    return path.resolve()


def _ignored(root: Path) -> pathspec.GitIgnoreSpec:
    file = root / _IGNORE_FILE
    lines = file.read_text("utf-8").splitlines() if file.is_file() else []
    return pathspec.GitIgnoreSpec.from_lines(lines)


def _tracked(root: Path) -> list[str]:
    command = ["git", "-C", str(root), "ls-files", "-z", "-co", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        told = getattr(error, "stderr", None)
        raise SettingsError(
            what=f"git can't list the files of {root}",
            why=told.decode(errors="replace").strip() if told else str(error),
            fix="install git, or repair the repository",
        ) from error
    return [os.fsdecode(name) for name in listed.split(b"\0") if name]


def _walked(root: Path) -> Iterator[str]:
    never = pathspec.GitIgnoreSpec.from_lines(_NEVER)
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not never.match_file(name))
        for name in sorted(files):
            yield Path(folder, name).relative_to(root).as_posix()
