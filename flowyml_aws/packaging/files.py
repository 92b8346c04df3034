"""The project files that a bundle contains."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pathspec

from flowyml_aws.core.errors import SettingsError

__all__ = ["project_files"]

_IGNORE_FILE = ".flowymlignore"
# Never code: excluded if the project is not in a git repository.
_NEVER = (".git", ".venv", "venv", "__pycache__", ".flowyml", "node_modules", ".*_cache", ".tox")
# Set while git runs a hook: git would use that hook's repository.
_GIT_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR")


def project_files(root: Path, include: Sequence[str] = ()) -> dict[str, Path]:
    """Return the paths of the files by their name in the bundle, sorted.

    These are the files that git tracks or would track (without git, all except caches and
    environments), minus those listed in `.flowymlignore` (`.gitignore` syntax), plus `include`.
    A symbolic link is replaced by its target.

    Args:
        root: The project's root.
        include: Files or folders to add. Those below the root keep their relative path; others
            get their base name.

    Raises:
        SettingsError: An `include` does not exist, or git fails.
    """
    ignore = _ignored(root)
    in_git = any((folder / ".git").exists() for folder in (root, *root.parents))
    # Empty if a surrounding repository, which is not the project's, ignores the whole folder.
    listed = (list(_tracked(root)) if in_git else []) or list(_walked(root))
    files = {}
    for name in _with_linked_folders(root, listed):
        if (path := root / name).is_file() and not ignore.match_file(name):
            files[name] = path
    for entry in include:
        added = (root / entry).resolve()
        if not added.exists():
            raise SettingsError(
                what=f"include={entry!r} does not exist",
                why=f"there is no file or folder at {added}",
                fix="correct or remove it",
            )
        base = root if added.is_relative_to(root) else added.parent
        names = [""] if added.is_file() else _with_linked_folders(added, list(_walked(added)))
        for path in (added / name for name in names):
            if path.is_file():
                files[path.relative_to(base).as_posix()] = path
    return dict(sorted(files.items()))


def _ignored(root: Path) -> pathspec.GitIgnoreSpec:
    file = root / _IGNORE_FILE
    lines = file.read_text("utf-8").splitlines() if file.is_file() else []
    return pathspec.GitIgnoreSpec.from_lines(lines)


def _tracked(root: Path) -> Iterator[str]:
    command = ["git", "-C", str(root), "ls-files", "-z", "-co", "--exclude-standard"]
    environment = {name: v for name, v in os.environ.items() if name not in _GIT_VARIABLES}
    try:
        listed = subprocess.run(command, capture_output=True, check=True, env=environment).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        stderr = getattr(error, "stderr", None)
        raise SettingsError(
            what=f"git can't list the files of {root}",
            why=stderr.decode(errors="replace").strip() if stderr else str(error),
            fix="install git, or repair the repository",
        ) from error
    for name in map(os.fsdecode, filter(None, listed.split(b"\0"))):
        # For submodules and nested repositories, git lists only the folder.
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
    """Yield the names, and below each link to a folder the names of the files in its target."""
    names = list(names)
    real = root.resolve()
    for name in names:
        yield name
        if (root / name).is_symlink() and (root / name).is_dir():
            target = (root / name).resolve()
            if target == real or real.is_relative_to(target):
                continue  # the target contains the project itself
            if target.is_relative_to(real):
                below = f"{target.relative_to(real).as_posix()}/"
                yield from (
                    f"{name}/{other.removeprefix(below)}"
                    for other in names
                    if other.startswith(below)
                )
            else:
                yield from (f"{name}/{other}" for other in _walked(target))
