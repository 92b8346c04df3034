"""Source files of a snapshot: the code of jobs on this machine, whatever changes meanwhile."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from flowyml_aws.core.modules import is_users_module
from flowyml_aws.packaging.project import Project
from flowyml_aws.runtime.snapshot import OUTSIDE

__all__ = ["snapshot_files"]


def snapshot_files(project: Project) -> Mapping[str, Path]:
    """Return the source files that the program's modules are imported from, by name in a bundle.

    These are the modules and packages in the folders of `sys.path`, except Python's and installed
    packages, and all other modules that this process has imported.
    """
    files: set[Path] = set()
    for folder in dict.fromkeys((*project.user_paths(), project.root)):
        files.update(_modules_in(folder))
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and file.endswith(".py") and is_users_module(name):
            files.add(Path(file).resolve())
    own = Path(__file__).resolve().parents[1]
    files = {path for path in files if not path.is_relative_to(own) and path.is_file()}
    named = {_name(path, project.root): path for path in files}
    return dict(sorted(named.items()))


def _modules_in(folder: Path) -> Iterator[Path]:
    """Yield the modules in a folder, and in the packages below it."""
    waiting = [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.name.endswith(".py") and entry.is_file():
                        yield Path(entry.path)
                    elif entry.is_dir() and Path(entry.path, "__init__.py").is_file():
                        waiting.append(entry.path)
        except OSError:  # an archive, or a folder that can't be read
            continue


def _name(path: Path, root: Path) -> str:
    if path.is_relative_to(root):
        return path.relative_to(root).as_posix()
    return f"{OUTSIDE}{path.as_posix()}"
