"""Modules next to the project that the program imports, which its bundle contains, too.

They come from sibling folders, other members of a workspace, and editable installs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from flowyml_aws.core.modules import is_installed
from flowyml_aws.packaging.bundle import BundleLimits
from flowyml_aws.packaging.files import ProjectFiles, files_in
from flowyml_aws.packaging.project import Project
from flowyml_aws.runtime.snapshot import outside_name

__all__ = ["with_neighbors"]


def with_neighbors(
    files: ProjectFiles,
    imported: Mapping[str, Path],
    project: Project,
    max_bytes: int = BundleLimits().large_total_bytes,
) -> ProjectFiles:
    """Return the files of a bundle with the modules that the program imports from elsewhere.

    Of a package, all files are added, except those that a bundle never contains.

    Args:
        files: Files of the project.
        imported: Files of modules that the program imports, by name.
        project: The project.
        max_bytes: Size from which a package is not added.
    """
    bundled = {path.resolve() for path in files.paths.values()}
    paths = dict(files.paths)
    added: list[Path] = []
    for top in dict.fromkeys(_tops(imported, project, bundled)):
        inside = {top / name: name for name in files_in(top)} if top.is_dir() else {top: ""}
        if sum(path.stat().st_size for path in inside) <= max_bytes:
            paths.update({outside_name(path, project.root): path for path in inside})
            added.append(top)
    return replace(files, paths=dict(sorted(paths.items())), added=tuple(added))


def _tops(imported: Mapping[str, Path], project: Project, bundled: set[Path]) -> Iterable[Path]:
    """Yield the package folders and files that contain modules from outside the project."""
    for name, file in imported.items():
        real = file.resolve()
        is_here = project.has(file) or project.has(real) or is_installed(real)
        if not is_here and real not in bundled and file.suffix == ".py" and file.is_file():
            yield _top(name, file.absolute())


def _top(name: str, file: Path) -> Path:
    """Return the folder of the outermost package that contains a module, or its file.

    Namespace packages are not packages here: other projects can have modules in them.
    """
    top = file
    for _ in range(name.count(".") + (file.name == "__init__.py")):
        if not (top.parent / "__init__.py").is_file():
            break
        top = top.parent
    return top.parent.resolve() / top.name
