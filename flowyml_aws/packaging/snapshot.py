"""Source files of a snapshot: the code of jobs on this machine, whatever changes meanwhile."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
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
    own = Path(__file__).resolve().parents[1]
    # Before the links of all files are followed: a checkout of this package has hundreds.
    files = {path for path in known if path.suffix == ".py" and not path.is_relative_to(own)}
    packages = [path.parent for path in files if path.name == "__init__.py"]
    files.update(_modules_in((*project.user_paths(), project.root, *packages)))
    # Jobs look for modules in the folders of `sys.path` without links, which may contain links.
    files.update({path.resolve() for path in files})
    files = {path for path in files if not path.is_relative_to(own) and path.is_file()}
    named = {_name(path, project.root): path for path in files}
    return dict(sorted(named.items()))


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
        if folder in seen or real in above:  # a link to a folder that contains it
            continue
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


def _name(path: Path, root: Path) -> str:
    if path.is_relative_to(root):
        return path.relative_to(root).as_posix()
    return outside_name(path, root)
