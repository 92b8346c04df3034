"""Distribute the packages of an environment to the layers of an image, with reproducible files.

Equal packages give equal layers, so that a push or a pull transfers only the layers with a changed
package:

- `stdlib`: compiled code of the standard library, which the images of Python do not contain
- `environment`: flowyml_aws's dependencies, and all files that no package declares
- `package-1`, …: the largest of the other packages, one each
- `packages`: the rest of the other packages
- `flowyml-aws`: flowyml_aws itself

The digest of a layer does not depend on its position, so a package may change its place by size.

Usage: python layers.py ENVIRONMENT FOLDER. FOLDER gets one folder per layer, with the paths of its
files in the image; the files are moved.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import Distribution, distributions
from pathlib import Path

PACKAGE = "flowyml-aws"
LARGE = 7  # as many layers as the Dockerfiles copy
REST = "packages"
EPOCH_S = 315532800  # 1980, the earliest time that zip files allow


def main(environment: Path, target: Path, stdlib: Path) -> None:
    """Move an environment into layers, and compile its packages and the standard library."""
    (packages,) = environment.glob("lib/python*/site-packages")
    installed = {_normalized(each.name): each for each in distributions(path=[str(packages)])}
    own = _dependencies(installed)
    files = {name: _files(each, environment) for name, each in installed.items() if name not in own}
    sizes = {name: sum(path.lstat().st_size for path in paths) for name, paths in files.items()}
    largest = sorted(files.keys() - {PACKAGE}, key=lambda name: (-sizes[name], name))[:LARGE]
    layers = {PACKAGE: PACKAGE}
    layers |= {name: f"package-{number}" for number, name in enumerate(largest, start=1)}
    for name, paths in sorted(files.items()):
        for path in sorted(filter(os.path.lexists, paths)):  # some files belong to two packages
            _move(path, target / layers.get(name, REST) / path.relative_to("/"))
    _remove_empty_folders(packages)
    for name in (PACKAGE, REST, *(f"package-{number}" for number in range(1, LARGE + 1))):
        (target / name / "opt").mkdir(parents=True, exist_ok=True)
    _move(environment, target / "environment" / environment.relative_to("/"))
    folders = sorted(target.iterdir())
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        library = threads.submit(_copy_stdlib, stdlib, target / "stdlib")
        list(threads.map(_finish, folders))
        library.result()


def _dependencies(installed: dict[str, Distribution]) -> set[str]:
    """Return the names of the installed packages that flowyml_aws requires, without extras."""
    found: set[str] = set()
    pending = [PACKAGE]
    while pending:
        for line in installed[pending.pop()].requires or ():
            name = _normalized(re.split(r"[^\w.-]", line.strip(), maxsplit=1)[0])
            if "extra" not in line.partition(";")[2] and name in installed and name not in found:
                found.add(name)
                pending.append(name)
    return found - {PACKAGE}


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _files(distribution: Distribution, environment: Path) -> set[Path]:
    """Return the files of a package that are in the environment."""
    folder = next(environment.glob("lib/python*/site-packages"))
    # Not resolved: the paths contain `..`, and some files are links.
    paths = {Path(os.path.normpath(folder / file)) for file in distribution.files or ()}
    return {path for path in paths if path.is_relative_to(environment) and os.path.lexists(path)}


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(source, target)


def _remove_empty_folders(root: Path) -> None:
    for path in sorted(root.rglob("*"), reverse=True):  # a folder comes after its content
        if path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
            path.rmdir()


def _finish(layer: Path) -> None:
    _set_times(layer)  # compiled code contains the time of its source
    if any(layer.rglob("*.py")):
        _compile(layer, layer)
        _set_times(layer)


def _copy_stdlib(stdlib: Path, layer: Path) -> None:
    """Compile the standard library into a layer that has only the compiled code."""
    copy = layer / stdlib.relative_to("/")
    ignored = shutil.ignore_patterns("site-packages", "__pycache__", "lib-dynload", "test", "tests")
    shutil.copytree(stdlib, copy, symlinks=True, ignore=ignored)  # with the times of the files
    _compile(copy, layer)
    for path in copy.rglob("*"):
        if (path.is_file() or path.is_symlink()) and path.parent.name != "__pycache__":
            path.unlink()
    _remove_empty_folders(copy)
    _set_times(layer)


def _compile(folder: Path, layer: Path) -> None:
    # Compiled code depends on the order of sets, and on what the same process compiled before.
    command = [sys.executable, "-m", "compileall", "-qq", "-s", str(layer), "-p", "/", str(folder)]
    # Not checked: some packages contain files for other versions of Python.
    subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": "0"}, check=False)


def _set_times(layer: Path) -> None:
    for path in (layer, *layer.rglob("*")):
        os.utime(path, (EPOCH_S, EPOCH_S), follow_symlinks=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sysconfig.get_path("stdlib")))
