"""Detection of names that other code changed in a module or a class after it was defined."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from flowyml_aws.code.source import Source, SourceFile, function_source, source_file
from flowyml_aws.code.values import Encoder

__all__ = ["defines", "patched_names"]


def defines(source: Source, function: FunctionType) -> bool:
    """Return whether the code of a function is in the body of a class with this source."""
    node, code = source.node, function.__code__
    if not isinstance(node, ast.ClassDef) or code.co_filename != source.filename:
        return False
    return node.lineno <= code.co_firstlineno <= (node.end_lineno or 0)


def patched_names(path: Path, names: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of a module that do not have the value that its file gives them.

    Only functions and literals can be compared: other values would have to be computed again.
    """
    file = source_file(path)
    if file is None:
        return
    for name, value in list(names.items()):
        if name.startswith("__") or isinstance(value, ModuleType):
            continue
        if (definition := file.definition(name)) is not None:
            if isinstance(value, FunctionType) and not _is_definition(definition, value, path):
                yield name
        elif name in file.bound:
            literal = _literal(file, name)
            if literal is not None and _encoded(literal[0]) != _encoded(value):
                yield name
        elif "*" not in file.bound:
            yield name


def _is_definition(definition: ast.stmt, function: FunctionType, path: Path) -> bool:
    if getattr(definition, "decorator_list", ()):
        return True  # the decorator may return any function
    source = function_source(function)
    is_same_file = Path(function.__code__.co_filename).name == path.name
    return (
        source is not None
        and is_same_file
        and getattr(source.node, "lineno", 0) == definition.lineno
    )


def _literal(file: SourceFile, name: str) -> tuple[Any] | None:
    """Return the value of a name that one statement binds to a literal, in a tuple."""
    match file.bound[name]:
        case [ast.Assign(targets=[ast.Name()], value=value)]:
            pass
        case [ast.AnnAssign(target=ast.Name(), value=ast.expr() as value)]:
            pass
        case _:
            return None
    try:
        return (ast.literal_eval(value),)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None  # it is computed


def _encoded(value: Any) -> bytes:
    return Encoder(lambda _: b"r").encode(value)
