"""Modules of the user that the program imports, by the import statements in its files."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from flowyml_aws.code.bytecode import bytecode_references
from flowyml_aws.core.modules import absolute_name, find_module_file
from flowyml_aws.core.step import Step
from flowyml_aws.packaging.modules import functions_used, modules_in, modules_of
from flowyml_aws.scripts import main_script

__all__ = ["imported_modules"]


def imported_modules(steps: Iterable[Step]) -> Mapping[str, Path]:
    """Return the files of the user's modules that the script and the steps import, by name.

    These include the modules that those modules import in turn, and imports inside functions. A
    module is not listed if this process can't import it.
    """
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

    def add(self, name: str) -> None:
        """Add a module and the packages that contain it."""
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            self._waiting.append(".".join(parts[:end]))

    def add_import(self, module: str, names: Iterable[str]) -> None:
        """Add the modules of the statement `from <module> import <names>`."""
        self.add(module)
        for name in names:
            self.add(f"{module}.{name}")

    def visit(self, name: str, package: str, file: Path) -> None:
        """Add the modules that a module uses."""
        for other, names in _imports_of(file, package):
            self.add_import(other, names)
        for module in modules_in(vars(sys.modules[name])) if name in sys.modules else ():
            self.add(module.__name__)

    def finish(self) -> Mapping[str, Path]:
        while self._waiting:
            name = self._waiting.pop()
            if name in self._seen or name.startswith("flowyml_aws."):
                continue
            self._seen.add(name)
            if (file := find_module_file(name)) is not None:
                self._files[name] = file
                is_package = file.name == "__init__.py"
                self.visit(name, name if is_package else name.rpartition(".")[0], file)
        return dict(sorted(self._files.items()))


def _imports_of(file: Path, package: str) -> Sequence[_Import]:
    """Return the modules, and the names in each, that the statements of a file import."""
    try:
        stat = file.stat()
        return _parsed(file, stat.st_ctime_ns, stat.st_size, package)
    except (OSError, SyntaxError, ValueError):  # no source, such as an extension module
        return ()


@lru_cache(maxsize=4096)
def _parsed(file: Path, changed_ns: int, size_bytes: int, package: str) -> tuple[_Import, ...]:
    """Return the imports of a file in the state that its time and size identify."""
    return tuple(_statements(file, package))


def _statements(file: Path, package: str) -> Iterator[_Import]:
    waiting: list[ast.AST] = [ast.parse(file.read_bytes())]
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
