"""Source files of a snapshot: the code of jobs on this machine, whatever changes meanwhile."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from functools import cache, partial
from pathlib import Path

from flowyml_aws.core.modules import is_users_module
from flowyml_aws.packaging.project import Project
from flowyml_aws.runtime.snapshot import outside_name
from flowyml_aws.scripts import main_script

__all__ = ["snapshot_files"]


def snapshot_files(project: Project, imported: Mapping[str, Path]) -> Mapping[str, Path]:
    """Return the source files that the program's modules are imported from, by name in a bundle.

    These are the script, the modules that it imports, all other modules that this process has
    imported, and the modules and packages in the folders of `sys.path`, except Python's and
    installed packages.

    Args:
        project: The project.
        imported: Files of modules that the program imports, by name.
    """
    known = [*imported.values(), *_files_of_modules()]
    if (main := main_script()) is not None:
        known.append(main[0] / main[1].path)
    files = {path for path in known if path.suffix == ".py" and not _is_own(path)}
    packages = [path.parent for path in files if path.name == "__init__.py"]
    files.update(_modules_in((*project.user_paths(), project.root, *packages)))
    # Jobs look for modules in the folders of `sys.path` without links, which may contain links.
    resolved = cache(Path.resolve)
    files |= {
        path.resolve() if path.is_symlink() else resolved(path.parent) / path.name for path in files
    }
    prefix = cache(partial(_prefix, root=project.root))
    named = {
        prefix(path.parent) + path.name: path
        for path in files
        if not _is_own(path) and path.is_file()
    }
    return dict(sorted(named.items()))


def _is_own(path: Path) -> bool:
    """Return whether a file or folder belongs to this package, which has hundreds of modules."""
    return f"{path}/".startswith(_PACKAGE)


def _files_of_modules() -> Iterator[Path]:
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and is_users_module(name):
            yield Path(file).absolute()


def _modules_in(folders: tuple[Path, ...]) -> Iterator[Path]:
    """Yield the modules in folders, and in the packages below them."""
    waiting = [(str(folder), frozenset[str]()) for folder in dict.fromkeys(folders)]
    seen = set()
    while waiting:
        folder, above = waiting.pop()
        real = os.path.realpath(folder)
        if folder in seen or _is_own(Path(folder)) or real in above:
            continue  # the last is a link to a folder that contains it
        seen.add(folder)
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.endswith(".py") and entry.is_file():
                        yield Path(entry.path)
                    elif entry.is_dir() and Path(entry.path, "__init__.py").is_file():
                        waiting.append((entry.path, above | {real}))
        except OSError:  # an archive, or a folder that can't be read
            continue


def _prefix(folder: Path, root: Path) -> str:
    """Return the start of the names in a bundle of the files in a folder."""
    if not folder.is_relative_to(root):
        return f"{outside_name(folder, root)}/"
    inside = folder.relative_to(root).as_posix()
    return "" if inside == "." else f"{inside}/"


_PACKAGE = f"{Path(__file__).resolve().parents[1]}/"
