"""Modules that the program imports, by the import statements in its files."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from flowyml_aws.code.bytecode import bytecode_references
from flowyml_aws.core.modules import absolute_name, find_module_file, is_installed
from flowyml_aws.core.step import Step
from flowyml_aws.packaging.modules import functions_used, modules_in, modules_of
from flowyml_aws.scripts import main_script
from flowyml_aws.warm.libraries import LIBRARIES

__all__ = ["ProgramImports", "libraries_of", "program_imports"]

_SETS_VARIABLES = ("environ", "putenv")
_SETS_VARIABLES_IN_SOURCE = re.compile(rf"\b({'|'.join(_SETS_VARIABLES)})\b".encode())


@dataclass(frozen=True, slots=True)
class ProgramImports:
    """Modules that the script and the steps import.

    They include the modules that the user's modules import in turn, and imports inside functions.

    Attributes:
        users: Files of the user's modules by name, without those that this process can't import.
        others: Names of all other modules.
        uses_environment: Whether the user's code names environment variables: it may set some.
    """

    users: Mapping[str, Path]
    others: frozenset[str]
    uses_environment: bool


def libraries_of(imports: ProgramImports) -> tuple[str, ...]:
    """Return the installed packages that a warm process can import before the jobs do.

    The program imports them: if this process has not done so, then inside functions, and the
    program must not set environment variables before.
    """
    return tuple(name for name in LIBRARIES if _is_library(name, imports))


def _is_library(name: str, imports: ProgramImports) -> bool:
    if name not in imports.others:
        return False
    if (module := sys.modules.get(name)) is not None:
        return is_installed(Path(getattr(module, "__file__", None) or ""))
    return not imports.uses_environment


def program_imports(steps: Iterable[Step]) -> ProgramImports:
    """Return the modules that the script and the steps import."""
    search = _Search()
    main = main_script()
    if main is not None:
        root, script = main
        search.visit("__main__", script.package or "", root / script.path)
    for step in {(id(step.func), id(step.condition)): step for step in steps}.values():
        for module in modules_of(step):
            search.add(module.__name__)
        # A notebook or a prompt has no file with import statements.
        for function in functions_used(step):
            search.add_names(function.__code__.co_names)
            for statement in bytecode_references(function.__code__).imports:
                if not statement.level:
                    search.add_import(statement.module, statement.names)
    return search.finish()


_Import = tuple[str, tuple[str, ...]]


class _Search:
    def __init__(self) -> None:
        self._seen = {"__main__", "flowyml_aws"}
        self._waiting: list[str] = []
        self._files: dict[str, Path] = {}
        self._uses_environment = False

    def add(self, name: str) -> None:
        """Add a module and the packages that contain it."""
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            self._waiting.append(".".join(parts[:end]))

    def add_names(self, names: Iterable[str]) -> None:
        """Add the names that a function uses."""
        self._uses_environment |= not set(_SETS_VARIABLES).isdisjoint(names)

    def add_import(self, module: str, names: Iterable[str]) -> None:
        """Add the modules of the statement `from <module> import <names>`."""
        self.add(module)
        for name in names:
            self.add(f"{module}.{name}")

    def visit(self, name: str, package: str, file: Path) -> None:
        """Add the modules that a module uses."""
        found = _imports_of(file, package)
        self._uses_environment |= found.uses_environment
        for other, names in found.statements:
            self.add_import(other, names)
        for module in modules_in(vars(sys.modules[name])) if name in sys.modules else ():
            self.add(module.__name__)

    def finish(self) -> ProgramImports:
        while self._waiting:
            name = self._waiting.pop()
            if name in self._seen or name.startswith("flowyml_aws."):
                continue
            self._seen.add(name)
            if (file := find_module_file(name)) is not None:
                self._files[name] = file
                is_package = file.name == "__init__.py"
                self.visit(name, name if is_package else name.rpartition(".")[0], file)
        others = frozenset(self._seen - self._files.keys())
        return ProgramImports(dict(sorted(self._files.items())), others, self._uses_environment)


@dataclass(frozen=True, slots=True)
class _FileImports:
    """Import statements of a file.

    Attributes:
        statements: Modules, and the names that are imported from each.
        uses_environment: Whether the file names environment variables.
    """

    statements: tuple[_Import, ...] = ()
    uses_environment: bool = False


def _imports_of(file: Path, package: str) -> _FileImports:
    try:
        stat = file.stat()
        return _parsed(file, stat.st_ctime_ns, stat.st_size, package)
    except (OSError, SyntaxError, ValueError):  # no source, such as an extension module
        return _FileImports()


@lru_cache(maxsize=4096)
def _parsed(file: Path, changed_ns: int, size_bytes: int, package: str) -> _FileImports:
    """Return the imports of a file in the state that its time and size identify."""
    source = file.read_bytes()
    uses_environment = _SETS_VARIABLES_IN_SOURCE.search(source) is not None
    return _FileImports(tuple(_statements(source, package)), uses_environment)


def _statements(source: bytes, package: str) -> Iterator[_Import]:
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute_name(node.module or "", node.level, {"__package__": package})
            if base:
                yield base, tuple(alias.name for alias in node.names)
        elif not isinstance(node, ast.expr):  # an import is a statement
            waiting += ast.iter_child_nodes(node)
