"""The program that submitted a run, as its jobs load it again."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from flowyml_aws.runtime.located import import_by_file
from flowyml_aws.runtime.snapshot import Snapshot, import_from, loader_from
from flowyml_aws.scripts import Script, enter_main

__all__ = ["Program", "enter_program"]


@dataclass(frozen=True, slots=True)
class Program:
    """The user's program. Paths are relative to the project's root, or absolute.

    Attributes:
        paths: Entries of `sys.path` before those of Python.
        last_paths: Entries of `sys.path` after those of Python.
        folder: Working directory.
        script: Path of the script that Python ran; None for a notebook or an installed program.
        package: Package of the module that `python -m` ran; None for a file.
        arguments: Arguments of the program (`sys.argv[1:]`).
        modules: Names of modules that `sys.path` does not lead to, with their files; for a
            namespace package, its folder.
    """

    paths: tuple[str, ...]
    last_paths: tuple[str, ...] = ()
    folder: str = "."
    script: str | None = None
    package: str | None = None
    arguments: tuple[str, ...] = ()
    modules: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Program:
        """Return a program from its fields, as read from JSON."""
        fields: dict[str, Any] = dict(facts)
        for name in ("paths", "last_paths", "arguments"):
            fields[name] = tuple(fields[name])
        fields["modules"] = tuple((name, path) for name, path in fields["modules"])
        return cls(**fields)


def enter_program(
    program: Program,
    root: Path,
    snapshot: Snapshot | None = None,
    given: Mapping[str, Any] | None = None,
    after: Callable[[], None] = lambda: None,
) -> None:
    """Make the user's modules importable, and execute the script for its definitions.

    Args:
        program: The program.
        root: The project's root in this process.
        snapshot: Code to use instead of the files on disk, or None.
        given: Values of names of the script, which its top level does not assign then.
        after: Called after the script was executed.

    Raises:
        BaseException: The script failed; it may raise anything, even SystemExit.
    """
    sys.path[:0] = _existing(root, program.paths)
    sys.path += [path for path in _existing(root, program.last_paths) if path not in sys.path]
    folder = root / program.folder
    folder.mkdir(parents=True, exist_ok=True)  # the client's folder may contain no bundled files
    os.chdir(folder)
    read = import_from(snapshot) if snapshot is not None else lambda _: None
    code = snapshot or {}
    files = {name: root / path for name, path in program.modules}
    known = {name: file for name, file in files.items() if str(file) in code or file.exists()}
    import_by_file(known, partial(loader_from, code))
    sys.argv[1:] = program.arguments
    if program.script is None:
        return
    script = Script(program.script, program.package)
    enter_main(root, script, read, given, after)
    sys.argv[0] = str(root / program.script)
    importlib.import_module(script.module)


def _existing(root: Path, paths: tuple[str, ...]) -> list[str]:
    return [str(path) for entry in paths if (path := root / entry).exists()]
