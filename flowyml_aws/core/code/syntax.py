"""Syntax trees as text that depends on what code does, not on how or where it is written.

Python's own `ast.dump` and `ast.unparse` give different texts in different minor versions.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Sequence

from flowyml_aws.core.code.plain import plain

__all__ = ["FunctionNode", "canonical", "canonical_function"]

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

# Loading and storing follow from the place; `u"…"` and type comments mean nothing.
_IGNORED = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
_WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def canonical(nodes: ast.AST | Sequence[ast.AST]) -> bytes:
    """Nodes as bytes, without comments, docstrings, positions and layout."""
    # Without recursion: a sum of a thousand terms is a thousand levels deep.
    pending: list[object] = [nodes if isinstance(nodes, ast.AST) else list(nodes)]
    out: list[bytes] = []
    while pending:
        item = pending.pop()
        if isinstance(item, _Token):
            out.append(item)
        elif isinstance(item, ast.AST):
            out.append(b"(" + type(item).__name__.encode())
            pending.append(_Token(b")"))
            for name, value in reversed(list(ast.iter_fields(item))):
                if name == "body" and isinstance(item, _WITH_DOCSTRING):
                    value = _without_docstring(value)
                elif isinstance(item, ast.JoinedStr):
                    value = [part for part in value if not _is_empty_text(part)]
                # Newer versions of Python know more fields: empty where nothing uses them.
                if name not in _IGNORED and value is not None and value != []:
                    pending += [value, _Token(name.encode())]
        elif isinstance(item, list):
            out.append(b"[")
            pending += [_Token(b"]"), *reversed(item)]
        else:
            # A syntax tree holds nothing but plain values.
            out.append(plain(item) or repr(item).encode())
    return b"".join(out)


def canonical_function(node: FunctionNode) -> bytes:
    """A function's own code, without its name, decorators and defaults.

    What the decorators and the expressions of defaults made belongs to the function object.
    """
    bare = copy.copy(node)
    bare.args = copy.copy(node.args)
    bare.args.defaults, bare.args.kw_defaults = [], []
    if not isinstance(bare, ast.Lambda):
        bare.name, bare.decorator_list = "", []
    return canonical(bare)


class _Token(bytes):
    """Bytes that are written as they are."""

    __slots__ = ()


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    match body:
        case [ast.Expr(value=ast.Constant(value=str())), *others]:
            return others or [ast.Pass()]
    return body


def _is_empty_text(part: ast.expr) -> bool:
    # The parser of 3.12 leaves some in f-strings.
    return isinstance(part, ast.Constant) and part.value == ""
