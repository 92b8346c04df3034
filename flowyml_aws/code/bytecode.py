"""Content and references of code without source text (typed at a prompt, created by `exec`).

They are read from the bytecode, so they depend on the minor version of Python.
"""

from __future__ import annotations

import dis
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType

from flowyml_aws.code.names import DOCS, IMPORTERS, Import, References
from flowyml_aws.code.plain import plain

__all__ = ["bytecode_content", "bytecode_references"]

_READS_NAME = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF"})
_READS_ATTRIBUTE = frozenset({"LOAD_ATTR", "LOAD_METHOD"})


def bytecode_content(code: CodeType) -> bytes:
    """Return the content of code as bytes, without its name, file and line numbers."""
    parts = [
        _constant((code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount)),
        _constant((code.co_flags, code.co_code, getattr(code, "co_exceptiontable", b""))),
        _constant((code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)),
        _constant(code.co_consts),
    ]
    return b"(code" + b"".join(parts) + b")"


@lru_cache(maxsize=4096)  # several surveys read the functions of a program
def bytecode_references(code: CodeType) -> References:
    """Return the names that code refers to, including those in nested functions."""
    chains: set[tuple[str, ...]] = set()
    imports: set[Import] = set()
    for part in _nested(code):
        if not IMPORTERS.isdisjoint(part.co_names):
            imports.update(_literal_names(part))
        free = set(part.co_freevars)
        chain: list[str] = []
        last_values: list[object] = [None, None]
        for instruction in dis.get_instructions(part):
            name = instruction.argval
            if instruction.opname in _READS_ATTRIBUTE and chain:
                chain.append(name)
            elif chain:
                chains.add(tuple(chain))
                chain = []
            if instruction.opname in _READS_NAME and (
                instruction.opname not in ("LOAD_DEREF", "LOAD_CLASSDEREF") or name in free
            ):
                chain = [name]
            if instruction.opname == "IMPORT_NAME":
                level, names = last_values
                imports.add(_import(name, level, names))
            last_values = [last_values[1], instruction.argval]
        if chain:
            chains.add(tuple(chain))
    inner = {name for part in _nested(code) for name in part.co_cellvars}
    return References(
        tuple(sorted(c for c in chains if c[0] not in inner)),
        tuple(sorted(imports)),
        any(not DOCS.isdisjoint(part.co_names) for part in _nested(code)),
    )


def _constant(value: object) -> bytes:
    if isinstance(value, CodeType):
        return bytecode_content(value)
    if isinstance(value, tuple):
        return b"(" + b"".join(map(_constant, value)) + b")"
    if isinstance(value, frozenset):
        return b"{" + b"".join(sorted(map(_constant, value))) + b"}"
    return plain(value) or repr(value).encode()


def _import(module: str, level: object, names: object) -> Import:
    return Import(
        module,
        level if isinstance(level, int) else 0,
        tuple(sorted(names)) if isinstance(names, tuple) else (),
    )


def _literal_names(code: CodeType) -> Iterator[Import]:
    """Yield the strings that can be names of modules which the code imports by a call."""
    for constant in code.co_consts:
        if isinstance(constant, str):
            module = constant.lstrip(".")
            if all(map(str.isidentifier, module.split("."))):
                yield Import(module, len(constant) - len(module))


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)
