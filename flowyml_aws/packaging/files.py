"""The project files that a bundle contains."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pathspec

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.packaging.exclusions import Excluded, Exclusions

__all__ = ["ProjectFiles", "files_in", "project_files"]

_IGNORE_FILE = ".flowymlignore"
# Set while git runs a hook: git would use that hook's repository.
_GIT_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR")


@dataclass(frozen=True, slots=True)
class ProjectFiles:
    """The files of a project.

    Attributes:
        paths: Paths by name in the bundle, sorted by name.
        excluded: Files and folders that are not bundled, although nothing lists them as ignored.
        added: Packages and modules outside the project that are added, because it imports them.
    """

    paths: Mapping[str, Path]
    excluded: tuple[Excluded, ...]
    added: tuple[Path, ...] = ()

    def without(self, folders: Collection[Path], kept: Collection[Path] = ()) -> ProjectFiles:
        """Return the files that are in none of some folders, which jobs get as data.

        Args:
            folders: Absolute paths without links.
            kept: Files that stay, such as modules that the program imports.
        """
        if not folders:
            return self
        modules = {path.resolve() for path in kept}

        def is_data(path: Path) -> bool:
            real = path.resolve()
            return real not in modules and any(real.is_relative_to(each) for each in folders)

        paths = {name: path for name, path in self.paths.items() if not is_data(path)}
        return replace(self, paths=paths)


def project_files(root: Path, include: Sequence[str] = ()) -> ProjectFiles:
    """Return the files to bundle.

    These are the files that git tracks or would track (without git, all files), minus those
    listed in `.flowymlignore` (`.gitignore` syntax), plus `include`. Files that git does not
    track and that look like secrets, environments, caches or outputs (see `exclusions`) are left
    out unless `include` names them. A symbolic link is replaced by its target.

    Args:
        root: The project's root.
        include: Files or folders to add. Those below the root keep their relative path; others
            get their base name.

    Raises:
        SettingsError: An `include` does not exist, or git fails.
    """
    ignore = _ignored(root)
    excluded: set[Excluded] = set()
    in_git = any((folder / ".git").exists() for folder in (root, *root.parents))
    tracked = dict(_listed_by_git(root)) if in_git else {}
    # Nothing is listed if a surrounding repository, not the project's, ignores the whole folder.
    listed = list(tracked) or list(_walked(root, excluded))
    exclusions = Exclusions(root)
    files = {}
    for name in _with_linked_folders(root, listed):
        path = root / name
        if not path.is_file() or ignore.match_file(name):
            continue
        exclusion = None if tracked.get(name) else exclusions.of_file(name)
        if exclusion is None:
            files[name] = path
        else:
            excluded.add(exclusion)
    for entry in include:
        files.update(_included(root, entry, excluded))
    return ProjectFiles(dict(sorted(files.items())), _notable(excluded, files, ignore))


def _included(root: Path, entry: str, excluded: set[Excluded]) -> dict[str, Path]:
    """Return the files of an `include`: a file that it names, or a folder's files."""
    added = (root / entry).resolve()
    if not added.exists():
        raise SettingsError(
            what=f"include={entry!r} does not exist",
            why=f"there is no file or folder at {added}",
            fix="correct or remove it",
        )
    base = root if added.is_relative_to(root) else added.parent
    if added.is_file():
        return {added.relative_to(base).as_posix(): added}
    inside: set[Excluded] = set()
    folder = added.relative_to(base).as_posix()
    files = {f"{folder}/{name}": added / name for name in files_in(added, inside)}
    excluded.update(replace(each, path=f"{folder}/{each.path}") for each in inside)
    return files


def files_in(folder: Path, excluded: set[Excluded] | None = None) -> Iterator[str]:
    """Yield the files in a folder by relative path, without those that look unrelated to code.

    What is left out is added to `excluded`.
    """
    excluded = set() if excluded is None else excluded
    exclusions = Exclusions(folder)
    for name in _with_linked_folders(folder, list(_walked(folder, excluded))):
        if not (folder / name).is_file():
            continue
        if (exclusion := exclusions.of_file(name)) is None:
            yield name
        else:
            excluded.add(exclusion)


def _notable(
    excluded: Iterable[Excluded], files: Mapping[str, Path], ignore: pathspec.GitIgnoreSpec
) -> tuple[Excluded, ...]:
    """Return the exclusions that users should know: not those that `include` added again."""
    return tuple(
        sorted(
            exclusion
            for exclusion in excluded
            if exclusion.is_notable
            and not ignore.match_file(exclusion.path)
            and not any(name.startswith(exclusion.path) for name in files)
        )
    )


def _ignored(root: Path) -> pathspec.GitIgnoreSpec:
    file = root / _IGNORE_FILE
    try:
        lines = file.read_text("utf-8").splitlines() if file.is_file() else []
        return pathspec.GitIgnoreSpec.from_lines(lines)
    except (OSError, ValueError) as error:  # it is not UTF-8, or has an invalid pattern
        raise SettingsError(
            what=f"Can't read {file}",
            why=str(error),
            fix="write patterns as in .gitignore, in UTF-8",
        ) from error


def _listed_by_git(root: Path) -> Iterator[tuple[str, bool]]:
    """Yield the files that git does not ignore, and whether it tracks them."""
    command = ["git", "-C", str(root), "ls-files", "-z", "-t", "-co", "--exclude-standard"]
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
    for record in map(os.fsdecode, filter(None, listed.split(b"\0"))):
        tag, name = record[0], record[2:]  # "? name" is not tracked
        # For submodules and nested repositories, git lists only the folder.
        if (root / name / ".git").exists() and not (root / name).is_symlink():
            for inner, is_tracked in _listed_by_git(root / name):
                yield f"{name.rstrip('/')}/{inner}", is_tracked
        else:
            yield name, tag != "?"


def _walked(root: Path, excluded: set[Excluded] | None = None) -> Iterator[str]:
    """Yield all files of a folder, without excluded folders, which are added to `excluded`."""
    exclusions = Exclusions(root)
    for folder, folders, files in os.walk(root):
        kept = []
        for name in sorted(folders):
            path = Path(folder, name).relative_to(root).as_posix()
            exclusion = exclusions.of_folder(path)
            if exclusion is None:
                kept.append(name)
            elif excluded is not None:
                excluded.add(exclusion)
        folders[:] = kept
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
