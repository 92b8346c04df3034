"""Canonical bytes of syntax trees: independent of layout, comments and position.

The results of `ast.dump` and `ast.unparse` differ between minor versions of Python.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Sequence

from flowyml_aws.code.plain import plain

__all__ = ["FunctionNode", "canonical", "canonical_function"]

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

# Loading and storing follow from the context; `u"…"` and type comments have no effect.
_IGNORED = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
_WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def canonical(nodes: ast.AST | Sequence[ast.AST]) -> bytes:
    """Return nodes as bytes, without comments, docstrings, positions and layout."""
    # Iterative, because a sum of a thousand terms is a thousand levels deep.
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
                    value = [part for part in value if not _is_empty_string(part)]
                # Newer versions of Python add fields, which are empty unless they are used.
                if name not in _IGNORED and value is not None and value != []:
                    pending += [value, _Token(name.encode())]
        elif isinstance(item, list):
            out.append(b"[")
            pending += [_Token(b"]"), *reversed(item)]
        else:
            # All other values in a syntax tree are plain.
            out.append(plain(item) or repr(item).encode())
    return b"".join(out)


def canonical_function(node: FunctionNode) -> bytes:
    """Return a function's code as bytes, without its name, decorators and defaults.

    The results of decorators and default expressions are values of the function object.
    """
    bare = copy.copy(node)
    bare.args = copy.copy(node.args)
    bare.args.defaults, bare.args.kw_defaults = [], []
    if not isinstance(bare, ast.Lambda):
        bare.name, bare.decorator_list = "", []
    return canonical(bare)


class _Token(bytes):
    """Bytes that are written unchanged."""

    __slots__ = ()


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    match body:
        case [ast.Expr(value=ast.Constant(value=str())), *others]:
            return others or [ast.Pass()]
    return body


def _is_empty_string(part: ast.expr) -> bool:
    # The parser of Python 3.12 leaves empty strings in f-strings.
    return isinstance(part, ast.Constant) and part.value == ""
