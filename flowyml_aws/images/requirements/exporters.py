"""Lock files of uv, Poetry and pipenv, exported by the tools themselves.

Only the tools know whether a lock file is up to date, and what it installs on which platform.
Hashes are not exported: flowyml_aws and its dependencies, which an image needs too, have none.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from flowyml_aws.core.errors import RequirementsError, SettingsError
from flowyml_aws.images.requirements.lines import INSTEAD, Requirements, check_line
from flowyml_aws.images.requirements.pyproject import Pyproject, read_toml
from flowyml_aws.packaging.pip_syntax import logical_lines
from flowyml_aws.runtime.layer import uv_command

__all__ = ["from_pipenv", "from_poetry", "from_uv"]

_TAIL = 2000  # characters of a tool's output
_UV_INDEXES = ("index", "index-url", "extra-index-url")
_NOT_CATEGORIES = {"source", "packages", "dev-packages", "requires", "scripts", "pipenv"}


def from_uv(root: Path, pyproject: Pyproject) -> Requirements | None:
    """Return the packages in uv.lock: dependencies and default groups, without `dev`.

    Raises:
        SettingsError: uv is not installed, or the lock file is not up to date.
    """
    if not (root / "uv.lock").is_file():
        return None
    try:
        command = uv_command()
    except RequirementsError as error:
        raise _missing("uv", "uv.lock", "uv") from error
    options = ["--locked", "--no-hashes", "--no-header", "--no-annotate", "--no-emit-project"]
    options += ["--no-dev", "--quiet", "--python", sys.executable]
    if any(name in pyproject.table("tool.uv") for name in _UV_INDEXES):
        options.append("--emit-index-url")
    return _requirements(_run([*command, "export", *options], root, "uv.lock", "uv"), "uv.lock")


def from_poetry(root: Path, pyproject: Pyproject) -> Requirements | None:
    """Return the packages in poetry.lock: the main dependencies.

    Raises:
        SettingsError: Poetry or its export plugin is not installed, or the lock file is missing or
            not up to date.
    """
    if not (root / "poetry.lock").is_file():
        if set(pyproject.table("tool.poetry.dependencies")) <= {"python"}:
            return None
        raise _unlocked("pyproject.toml", "Poetry", "poetry")
    command = [_program("poetry", "poetry.lock", "poetry poetry-plugin-export"), "export"]
    options = ["--without-hashes", "--no-interaction", "--no-ansi"]
    output = _run([*command, *options], root, "poetry.lock", "poetry poetry-plugin-export")
    return _requirements(output, "poetry.lock")


def from_pipenv(root: Path, pyproject: Pyproject) -> Requirements | None:
    """Return the packages in Pipfile.lock, without categories and `dev-packages`.

    Raises:
        SettingsError: pipenv is not installed, the lock file is missing or not up to date, or only
            categories contain packages.
    """
    pipfile = root / "Pipfile"
    if not pipfile.is_file():
        return None
    lock = "Pipfile.lock"
    if not (root / lock).is_file():  # pipenv would export nothing, and report success
        raise _unlocked("Pipfile", "pipenv", "pipenv")
    program = _program("pipenv", lock, "pipenv")
    _run([program, "verify"], root, lock, "pipenv")  # an export ignores changes of the Pipfile
    requirements = _requirements(_run([program, "requirements"], root, lock, "pipenv"), lock)
    categories = ", ".join(sorted(set(read_toml(pipfile)) - _NOT_CATEGORIES))
    if requirements is None and categories:
        raise SettingsError(
            what="Pipfile lists packages only in categories",
            why=f"an image has the default packages only, not those of {categories}",
            fix=f"move them to [packages], or {INSTEAD}",
        )
    if requirements is not None and categories:
        return replace(requirements, source=f"{lock}, without category {categories}")
    return requirements


def _program(name: str, lock: str, packages: str) -> str:
    if (program := shutil.which(name)) is None:
        raise _missing(name, lock, packages)
    return program


def _run(command: Sequence[str], root: Path, lock: str, packages: str) -> str:
    try:
        process = subprocess.run(
            command,
            cwd=root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except OSError as error:
        code, output = "could not be started", str(error)
    else:
        if process.returncode == 0:
            return process.stdout
        code, output = f"exited with code {process.returncode}", process.stderr or process.stdout
    shown = " ".join([Path(command[0]).name, *command[1:]])
    raise SettingsError(
        what=f"Can't export the requirements in {lock}",
        why=f"`{shown}` {code}: {output.strip()[-_TAIL:]}",
        fix=f"correct what the tool reports (`pip install {packages}` installs it), delete {lock} "
        f"if the project no longer uses it, or {INSTEAD}",
    )


def _requirements(output: str, lock: str) -> Requirements | None:
    lines = tuple(check_line(line, lock) for line in logical_lines(output))
    requirements = Requirements(lines, (), lock)
    return None if requirements.is_empty else requirements


def _missing(tool: str, lock: str, packages: str) -> SettingsError:
    return SettingsError(
        what=f"Can't read {lock} without {tool}",
        why=f"{tool} exports the requirements of the image, and is not installed",
        fix=f"run `pip install {packages}`, or {INSTEAD}",
    )


def _unlocked(file: str, tool: str, command: str) -> SettingsError:
    return SettingsError(
        what="Can't read the project's dependencies",
        why=f"{file} declares them for {tool}, and there is no lock file",
        fix=f"run `{command} lock`, or {INSTEAD}",
    )
