"""Functions, classes and modules as their authors wrote them, found in their files."""

from __future__ import annotations

import ast
import linecache
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, cast

from flowyml_aws.core.code.names import References, references
from flowyml_aws.core.code.syntax import FunctionNode, canonical, canonical_function

__all__ = [
    "Source",
    "SourceFile",
    "bindings_source",
    "class_source",
    "function_source",
    "functions_of_class",
    "module_source",
]


class Source:
    """A piece of code in a file: a function, a class, a module or some statements.

    Attributes:
        qualname: Where it stands in its module, such as `make.<locals>.train`.
        node: Its syntax, with positions.
    """

    def __init__(self, qualname: str, node: ast.AST | list[ast.stmt]) -> None:
        self.qualname, self.node = qualname, node

    @cached_property
    def content(self) -> bytes:
        """What it says, whatever its layout."""
        if isinstance(self.node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return canonical_function(self.node)
        return canonical(self.node)

    @cached_property
    def references(self) -> References:
        return references(self.node)


class SourceFile:
    """The definitions in one file."""

    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree
        self.module = Source("", tree)
        self._functions: dict[int, list[_Function]] = {}
        self._classes: dict[str, list[_Class]] = {}
        self._bindings: dict[str, Source] = {}
        self._read(tree)

    def function(self, code: CodeType) -> Source | None:
        """The function that was compiled to this code; None if the text says otherwise by now."""
        found = [f for f in self._functions.get(code.co_firstlineno, ()) if f.matches(code)]
        if len(found) > 1:
            found = _by_columns(found, code)
        # Lambdas that say the same are the same.
        return found[0].source if len({f.source.content for f in found}) == 1 else None

    def class_(self, qualname: str, lines: set[int]) -> Source | None:
        """A class by its place and, among several, the one with methods at these lines."""
        found = self._classes.get(qualname, [])
        around = [c for c in found if any(c.first <= line <= c.last for line in lines)]
        return (around or found)[-1].source if found else None

    def bindings(self, name: str) -> Source | None:
        """The statements at the file's top level that give a name its value."""
        if name not in self._bindings:
            statements = [s for s in self.tree.body if name in _bound_by(s)]
            self._bindings[name] = Source(name, list(statements))
        source = self._bindings[name]
        return source if source.node else None

    def _read(self, tree: ast.Module) -> None:
        pending: list[tuple[ast.AST, str]] = [(tree, "")]
        while pending:
            node, inside = pending.pop()
            below = inside
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                name = "<lambda>" if isinstance(node, ast.Lambda) else node.name
                function = _Function(Source(inside + name, node), node, name)
                self._functions.setdefault(function.first, []).append(function)
                below = f"{inside}{name}.<locals>."
            elif isinstance(node, ast.ClassDef):
                qualname = inside + node.name
                self._classes.setdefault(qualname, []).append(
                    _Class(Source(qualname, node), _first_line(node), _last_line(node))
                )
                below = f"{qualname}."
            # Decorators and defaults stand outside of what they belong to.
            body = getattr(node, "body", None)
            inner = {id(child) for child in (body if isinstance(body, list) else [body])}
            pending += (
                (child, below if id(child) in inner else inside)
                for child in ast.iter_child_nodes(node)
            )
        for classes in self._classes.values():
            classes.sort(key=lambda found: found.first)


@dataclass(frozen=True, slots=True)
class _Class:
    source: Source
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class _Function:
    source: Source
    node: FunctionNode
    name: str

    @property
    def first(self) -> int:
        return _first_line(self.node)

    def matches(self, code: CodeType) -> bool:
        args = self.node.args
        named = [arg.arg for arg in (*args.posonlyargs, *args.args, *args.kwonlyargs)]
        count = code.co_argcount + code.co_kwonlyargcount
        return self.name == code.co_name and [*code.co_varnames[:count]] == named

    def encloses(self, place: tuple[int, int, int, int]) -> bool:
        line, last, column, end = place
        node = self.node
        return (node.lineno, node.col_offset) <= (line, column) and (last, end) <= (
            node.end_lineno or 0,
            node.end_col_offset or 0,
        )

    @property
    def size(self) -> tuple[int, int]:
        return (
            (self.node.end_lineno or 0) - self.node.lineno,
            (self.node.end_col_offset or 0) - self.node.col_offset,
        )


def function_source(function: FunctionType) -> Source | None:
    """The source of a function, or None where there is none (or it is not that code's)."""
    file = _file(function.__code__.co_filename, function.__globals__)
    return file.function(function.__code__) if file is not None else None


def class_source(cls: type) -> Source | None:
    """The source of a class, or None where there is none."""
    functions = list(functions_of_class(cls))
    for filename, names in _files_of_class(cls, functions):
        file = _file(filename, names)
        lines = {f.__code__.co_firstlineno for f in functions if _is_in(f, filename)}
        lines.update(line for line in [vars(cls).get("__firstlineno__")] if isinstance(line, int))
        if file is not None and (found := file.class_(cls.__qualname__, lines)) is not None:
            return found
    return None


def module_source(path: Path) -> Source | None:
    """The source of a whole module, or None where the file holds no Python text."""
    file = _file(str(path), {})
    return file.module if file is not None else None


def bindings_source(names: Mapping[str, Any], name: str) -> Source | None:
    """The statements that give a global its value in the module with these globals."""
    filename = names.get("__file__")
    file = _file(filename, names) if isinstance(filename, str) else None
    return file.bindings(name) if file is not None else None


def functions_of_class(cls: type) -> Iterator[FunctionType]:
    """The functions that a class defines itself, also those below properties and the like."""
    for value in list(vars(cls).values()):
        parts = (value, *(getattr(value, name, None) for name in ("__func__", "fget", "fset")))
        yield from (part for part in parts if isinstance(part, FunctionType))


_files: dict[str, tuple[list[str], SourceFile | None]] = {}


def _file(filename: str, names: Mapping[str, Any]) -> SourceFile | None:
    linecache.checkcache(filename)
    lines = linecache.getlines(filename, cast("dict[str, Any]", names))  # it only reads them
    known = _files.get(filename)
    if known is None or known[0] is not lines:
        try:
            read = SourceFile(ast.parse("".join(lines))) if lines else None
        except (SyntaxError, ValueError, RecursionError):
            read = None
        known = _files[filename] = (lines, read)
    return known[1]


def _files_of_class(
    cls: type, functions: list[FunctionType]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for function in functions:
        # Functions from elsewhere can be attributes of a class as well.
        if function.__qualname__.startswith(f"{cls.__qualname__}."):
            yield function.__code__.co_filename, function.__globals__
    module = sys.modules.get(cls.__module__)
    if isinstance(file := getattr(module, "__file__", None), str):
        yield file, vars(module)


def _is_in(function: FunctionType, filename: str) -> bool:
    return function.__code__.co_filename == filename


def _by_columns(found: list[_Function], code: CodeType) -> list[_Function]:
    """Of lambdas in one line, the one whose text gave this code; all of them before 3.11."""
    positions: Callable[[], Iterator[Any]] | None = getattr(code, "co_positions", None)
    if positions is None:
        return found
    places = [p for p in positions() if None not in p and (p[0], p[2]) != (p[1], p[3])]
    around = [f for f in found if all(f.encloses(place) for place in places)]
    return [min(around, key=lambda f: f.size)] if places and around else found


def _first_line(node: FunctionNode | ast.ClassDef) -> int:
    decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _last_line(node: ast.ClassDef) -> int:
    return node.end_lineno or node.lineno


def _bound_by(statement: ast.stmt) -> set[str]:
    bound: set[str] = set()
    pending: list[ast.AST] = [statement]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue  # other namespaces
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
        elif isinstance(node, ast.alias):
            bound.add(node.asname or node.name.partition(".")[0])
        pending += ast.iter_child_nodes(node)
    return bound
