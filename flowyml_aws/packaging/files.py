"""The files that travel to a job."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pathspec

from flowyml_aws.core.errors import SettingsError

__all__ = ["project_files"]

_IGNORE_FILE = ".flowymlignore"
# Never code: left out where no git says so.
_NEVER = (".git", ".venv", "venv", "__pycache__", ".flowyml", "node_modules", ".*_cache", ".tox")
# Set while git runs a hook: they would lead it to that repository.
_GIT_PLACES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR")


def project_files(root: Path, include: Sequence[str] = ()) -> dict[str, Path]:
    """Files by their name in the bundle, sorted.

    Those that git tracks or would track (without git, all but caches and environments), minus
    what `.flowymlignore` names (in `.gitignore`'s syntax), plus `include`. A symbolic link
    travels as what it leads to.

    Args:
        root: The project's root.
        include: Files or folders to add: below the root under their own path, others under their
            last name.

    Raises:
        SettingsError: An `include` does not exist, or git fails.
    """
    ignore = _ignored(root)
    in_git = any((place / ".git").exists() for place in (root, *root.parents))
    # Nothing: the whole folder is ignored by a repository around it, which is not its own.
    listed = (list(_tracked(root)) if in_git else []) or list(_walked(root))
    found = {}
    for name in _with_linked_folders(root, listed):
        if (path := root / name).is_file() and not ignore.match_file(name):
            found[name] = path
    for entry in include:
        place = (root / entry).resolve()
        if not place.exists():
            raise SettingsError(
                what=f"include={entry!r} does not exist",
                why=f"there is nothing at {place}",
                fix="correct or remove it",
            )
        base = root if place.is_relative_to(root) else place.parent
        names = [""] if place.is_file() else _with_linked_folders(place, list(_walked(place)))
        for path in (place / name for name in names):
            if path.is_file():
                found[path.relative_to(base).as_posix()] = path
    return dict(sorted(found.items()))


def _ignored(root: Path) -> pathspec.GitIgnoreSpec:
    file = root / _IGNORE_FILE
    lines = file.read_text("utf-8").splitlines() if file.is_file() else []
    return pathspec.GitIgnoreSpec.from_lines(lines)


def _tracked(root: Path) -> Iterator[str]:
    command = ["git", "-C", str(root), "ls-files", "-z", "-co", "--exclude-standard"]
    environment = {name: v for name, v in os.environ.items() if name not in _GIT_PLACES}
    try:
        listed = subprocess.run(command, capture_output=True, check=True, env=environment).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        told = getattr(error, "stderr", None)
        raise SettingsError(
            what=f"git can't list the files of {root}",
            why=told.decode(errors="replace").strip() if told else str(error),
            fix="install git, or repair the repository",
        ) from error
    for name in map(os.fsdecode, filter(None, listed.split(b"\0"))):
        # Of a submodule, and of a repository inside, git names only the folder.
        if (root / name / ".git").exists() and not (root / name).is_symlink():
            yield from (f"{name.rstrip('/')}/{inner}" for inner in _tracked(root / name))
        else:
            yield name


def _walked(root: Path) -> Iterator[str]:
    never = pathspec.GitIgnoreSpec.from_lines(_NEVER)
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not never.match_file(name))
        links = [name for name in folders if Path(folder, name).is_symlink()]
        for name in sorted((*files, *links)):
            yield Path(folder, name).relative_to(root).as_posix()


def _with_linked_folders(root: Path, names: Iterable[str]) -> Iterator[str]:
    """Names, and below each link to a folder those of the files that it leads to."""
    names = list(names)
    real = root.resolve()
    for name in names:
        yield name
        if (root / name).is_symlink() and (root / name).is_dir():
            target = (root / name).resolve()
            if target == real or real.is_relative_to(target):
                continue  # it leads to what is there already
            if target.is_relative_to(real):
                below = f"{target.relative_to(real).as_posix()}/"
                yield from (
                    f"{name}/{other.removeprefix(below)}"
                    for other in names
                    if other.startswith(below)
                )
            else:
                yield from (f"{name}/{other}" for other in _walked(target))
