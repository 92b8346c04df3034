"""Source code of functions, classes and modules, read from their files."""

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

from flowyml_aws.code.names import References, references
from flowyml_aws.code.syntax import FunctionNode, canonical, canonical_function

__all__ = [
    "Source",
    "SourceFile",
    "bindings_source",
    "class_source",
    "definition_source",
    "function_source",
    "functions_of_class",
    "is_guard",
    "module_source",
    "rebinding_functions",
    "source_file",
]


class Source:
    """A piece of code in a file: a function, a class, a module or some statements.

    Attributes:
        qualname: Qualified name in the module, such as `make.<locals>.train`.
        node: Syntax tree, with positions.
        filename: Name of the file of a class.
    """

    def __init__(
        self, qualname: str, node: ast.AST | list[ast.stmt] | list[ast.expr], filename: str = ""
    ) -> None:
        self.qualname, self.node, self.filename = qualname, node, filename

    @cached_property
    def content(self) -> bytes:
        """The code as bytes, independent of its layout."""
        if isinstance(self.node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return canonical_function(self.node)
        return canonical(self.node)

    @cached_property
    def references(self) -> References:
        return references(self.node)


class SourceFile:
    """The definitions in one file."""

    def __init__(self, tree: ast.Module, filename: str) -> None:
        self.tree, self.filename = tree, filename
        self.module = Source("", tree)
        self._functions: dict[int, list[_Function]] = {}
        self._classes: dict[str, list[_Class]] = {}
        self._bindings: dict[str, Source] = {}
        self._read(tree)

    def function(self, code: CodeType) -> Source | None:
        """Return the function with this code object, or None if the file has changed since."""
        matches = [f for f in self._functions.get(code.co_firstlineno, ()) if f.matches(code)]
        if len(matches) > 1:
            matches = _by_columns(matches, code)
        # Lambdas with equal content are interchangeable.
        return matches[0].source if len({f.source.content for f in matches}) == 1 else None

    def class_(self, qualname: str, lines: set[int]) -> Source | None:
        """Return a class by its qualified name; of several, the one with methods at these lines."""
        matches = self._classes.get(qualname, [])
        enclosing = [c for c in matches if any(c.first <= line <= c.last for line in lines)]
        return (enclosing or matches)[-1].source if matches else None

    def bindings(self, name: str) -> Source | None:
        """Return the top-level statements of the file that bind a name."""
        if name not in self._bindings:
            self._bindings[name] = Source(name, list(self.bound.get(name, ())))
        source = self._bindings[name]
        return source if source.node else None

    @cached_property
    def bound(self) -> Mapping[str, list[ast.stmt]]:
        """The top-level statements that bind each name; `*` for `from … import *`."""
        bound: dict[str, list[ast.stmt]] = {}
        for statement in self.tree.body:
            for name in _bound_by(statement):
                bound.setdefault(name, []).append(statement)
        return bound

    def definition(self, name: str) -> ast.stmt | None:
        """Return the last top-level statement that defines a function or a class of this name."""
        named = [s for s in self.tree.body if getattr(s, "name", None) == name]
        return named[-1] if named else None

    def rebinding_functions(self, name: str) -> list[str]:
        """Return the qualified names of the functions that declare a name global."""
        return [
            function.source.qualname
            for functions in self._functions.values()
            for function in functions
            if not isinstance(function.node, ast.Lambda)
            and any(isinstance(s, ast.Global) and name in s.names for s in function.node.body)
        ]

    def _read(self, tree: ast.Module) -> None:
        pending: list[tuple[ast.AST, str]] = [(tree, "")]
        while pending:
            node, prefix = pending.pop()
            body_prefix = prefix
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                name = "<lambda>" if isinstance(node, ast.Lambda) else node.name
                function = _Function(Source(prefix + name, node), node, name)
                self._functions.setdefault(function.first, []).append(function)
                body_prefix = f"{prefix}{name}.<locals>."
            elif isinstance(node, ast.ClassDef):
                qualname = prefix + node.name
                self._classes.setdefault(qualname, []).append(
                    _Class(
                        Source(qualname, node, self.filename), _first_line(node), _last_line(node)
                    )
                )
                body_prefix = f"{qualname}."
            # Decorators and defaults belong to the enclosing scope.
            body = getattr(node, "body", None)
            inner = {id(child) for child in (body if isinstance(body, list) else [body])}
            pending += (
                (child, body_prefix if id(child) in inner else prefix)
                for child in ast.iter_child_nodes(node)
            )
        for classes in self._classes.values():
            classes.sort(key=lambda c: c.first)


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

    def encloses(self, position: tuple[int, int, int, int]) -> bool:
        line, last, column, end = position
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
    """Return the source of a function, or None if it is missing or has changed."""
    file = _file(function.__code__.co_filename, function.__globals__)
    return file.function(function.__code__) if file is not None else None


def class_source(cls: type) -> Source | None:
    """Return the source of a class, or None if it is missing."""
    functions = list(functions_of_class(cls))
    for filename, names in _files_of_class(cls, functions):
        file = _file(filename, names)
        lines = {f.__code__.co_firstlineno for f in functions if _is_in(f, filename)}
        lines.update(line for line in [vars(cls).get("__firstlineno__")] if isinstance(line, int))
        if file is not None and (source := file.class_(cls.__qualname__, lines)) is not None:
            return source
    return None


def module_source(path: Path) -> Source | None:
    """Return the source of a whole module, or None if the file is not Python source."""
    file = source_file(path)
    return file.module if file is not None else None


def source_file(path: Path) -> SourceFile | None:
    """Return the definitions in a file, or None if it is not Python source."""
    return _file(str(path), {})


def bindings_source(names: Mapping[str, Any], name: str) -> Source | None:
    """Return the statements that bind a global name in the module with these globals."""
    filename = names.get("__file__")
    file = _file(filename, names) if isinstance(filename, str) else None
    return file.bindings(name) if file is not None else None


def definition_source(names: Mapping[str, Any], name: str) -> Source | None:
    """Return what defines a global name: decorators, statements that bind it, or star imports."""
    filename = names.get("__file__")
    file = _file(filename, names) if isinstance(filename, str) else None
    if file is None:
        return None
    if decorators := getattr(file.definition(name), "decorator_list", None):
        return Source(name, list(decorators))
    # A name that no statement contains comes from `from … import *`.
    return file.bindings(name) or file.bindings("*")


def rebinding_functions(names: Mapping[str, Any], name: str) -> list[str]:
    """Return the functions that assign a global name of the module with these globals."""
    filename = names.get("__file__")
    file = _file(filename, names) if isinstance(filename, str) else None
    return file.rebinding_functions(name) if file is not None else []


def is_guard(statement: ast.AST) -> bool:
    """Return whether a statement is `if __name__ == "__main__":`, or similar."""
    names = ast.walk(statement.test) if isinstance(statement, ast.If) else ()
    return any(isinstance(node, ast.Name) and node.id == "__name__" for node in names)


def functions_of_class(cls: type) -> Iterator[FunctionType]:
    """Yield the functions that a class itself defines, including those wrapped in properties."""
    for value in list(vars(cls).values()):
        parts = (value, *(getattr(value, name, None) for name in ("__func__", "fget", "fset")))
        yield from (part for part in parts if isinstance(part, FunctionType))


_files: dict[str, tuple[list[str], SourceFile | None]] = {}


def _file(filename: str, names: Mapping[str, Any]) -> SourceFile | None:
    linecache.checkcache(filename)
    lines = linecache.getlines(filename, cast("dict[str, Any]", names))  # linecache only reads them
    cached = _files.get(filename)
    if cached is None or cached[0] is not lines:
        try:
            parsed = SourceFile(ast.parse("".join(lines)), filename) if lines else None
        except (SyntaxError, ValueError, RecursionError):
            parsed = None
        cached = _files[filename] = (lines, parsed)
    return cached[1]


def _files_of_class(
    cls: type, functions: list[FunctionType]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for function in functions:
        # A class can also have functions from other modules as attributes.
        if function.__qualname__.startswith(f"{cls.__qualname__}."):
            yield function.__code__.co_filename, function.__globals__
    module = sys.modules.get(cls.__module__)
    if isinstance(file := getattr(module, "__file__", None), str):
        yield file, vars(module)


def _is_in(function: FunctionType, filename: str) -> bool:
    return function.__code__.co_filename == filename


def _by_columns(functions: list[_Function], code: CodeType) -> list[_Function]:
    """Return the function at the columns of this code; all of them before Python 3.11."""
    positions: Callable[[], Iterator[Any]] | None = getattr(code, "co_positions", None)
    if positions is None:
        return functions
    ranges = [p for p in positions() if None not in p and (p[0], p[2]) != (p[1], p[3])]
    enclosing = [f for f in functions if all(f.encloses(position) for position in ranges)]
    return [min(enclosing, key=lambda f: f.size)] if ranges and enclosing else functions


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
            continue  # has its own namespace
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
        elif isinstance(node, ast.alias):
            bound.add(node.asname or node.name.partition(".")[0])
        pending += ast.iter_child_nodes(node)
    return bound
