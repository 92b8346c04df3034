"""Environment variables that the code of steps reads by a literal name.

Reads are found in the source of the user's functions and classes that a step uses, and in the code
that runs when their modules are imported: `os.environ["X"]`, `os.environ.get("X")`,
`os.getenv("X")`, `"X" in os.environ`, under any name that an import gives them.
"""

from __future__ import annotations

import ast
import functools
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any

from flowyml_aws.code.bindings import Binding
from flowyml_aws.code.source import (
    Source,
    bindings_source,
    class_source,
    function_source,
    functions_of_class,
    module_source,
)
from flowyml_aws.core.modules import (
    absolute_name,
    find_module_file,
    is_users_function,
    is_users_module,
)
from flowyml_aws.core.step import Step
from flowyml_aws.core.step_objects import unwrap_step
from flowyml_aws.packaging.pickling import functions_of, variables_of

__all__ = ["VariableReader", "variables_of_binding"]

_MISSING = object()
_READERS = ("get", "pop", "setdefault", "__getitem__")


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece of the user's code.

    Attributes:
        names: Environment variables that it reads.
        refers: Functions, classes and modules that it refers to.
    """

    names: frozenset[str] = frozenset()
    refers: tuple[Any, ...] = ()


@dataclass(slots=True)
class VariableReader:
    """Finds the environment variables of many steps; reads shared code once."""

    _parts: dict[int, _Part] = field(default_factory=dict)
    _read: dict[int, frozenset[str]] = field(default_factory=dict)
    _alive: list[Any] = field(default_factory=list)  # the keys are addresses

    def read_by(self, step: Step) -> set[str]:
        """Return the names of the environment variables that a step reads."""
        roots = [step.func, step.condition, *functions_of(step)]
        for root in roots:  # most steps have functions of one module
            self._read_by(sys.modules.get(getattr(root, "__module__", None) or ""))
        return set().union(*map(self._read_by, roots))

    def _read_by(self, root: Any) -> frozenset[str]:
        """Return what a root and everything that it refers to read."""
        root = unwrap_step(root)
        if id(root) in self._read:
            return self._read[id(root)]
        names: set[str] = set()
        seen: set[int] = set()
        waiting: list[Any] = [root]
        while waiting:
            code = unwrap_step(waiting.pop())
            if id(code) in seen:
                continue
            seen.add(id(code))
            if id(code) in self._read:
                names |= self._read[id(code)]
                continue
            part = self._part(code)
            names |= part.names
            waiting += part.refers
        self._read[id(root)] = frozenset(names)
        return self._read[id(root)]

    def _part(self, code: Any) -> _Part:
        if id(code) not in self._parts:
            self._alive.append(code)
            self._parts[id(code)] = _part_of(code)
        return self._parts[id(code)]


def variables_of_binding(binding: Binding) -> frozenset[str]:
    """Return the environment variables that the assignments of a global name read."""
    names = vars(sys.modules[binding.module])
    return _scan(_nodes(bindings_source(names, binding.name)), names).names


def _part_of(code: Any) -> _Part:
    match code:
        case ModuleType():
            return _part_of_module(code)
        case FunctionType():
            return _part_of_function(code)
        case type():
            return _part_of_class(code)
        case MethodType():
            return _Part(refers=(code.__func__, code.__self__))
        case functools.partial():
            return _Part(refers=(code.func, *code.args, *code.keywords.values()))
    return _Part(refers=(type(code),))


def _part_of_function(function: FunctionType) -> _Part:
    if not is_users_function(function):
        # A decorator of a package, for example, whose closure contains a function of the user.
        cells = (cell for cell in function.__closure__ or () if _is_bound(cell))
        return _Part(refers=tuple(cell.cell_contents for cell in cells))
    used = variables_of(function)
    module = sys.modules.get(str(function.__globals__.get("__name__")))
    part = _scan(_nodes(function_source(function)), {**function.__globals__, **used})
    return _Part(part.names, (*part.refers, module, *used.values()))


def _part_of_class(cls: type) -> _Part:
    module = sys.modules.get(cls.__module__)
    if module is None or not is_users_module(cls.__module__):
        return _Part()
    # The functions of the class are read on their own, with their closures.
    part = _scan(_at_import(_nodes(class_source(cls))), vars(module))
    return _Part(part.names, (*part.refers, module, *functions_of_class(cls), *cls.__bases__))


def _part_of_module(module: ModuleType) -> _Part:
    """Return the code that runs when a module is imported."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or not is_users_module(module.__name__):
        return _Part()
    nodes = _nodes(module_source(Path(file)))
    # The functions of a module that is not imported yet are unknown: its whole code counts.
    if module.__name__ not in sys.modules:
        return _scan(nodes, vars(module))
    part = _scan(_at_import(nodes), vars(module))
    return _Part(part.names, tuple(code for value in part.refers for code in _called(value)))


def _called(value: Any) -> Iterator[Any]:
    """Yield what a call of a value executes: of a class, the methods that create an object."""
    if isinstance(value, type) and is_users_module(value.__module__):
        methods = (vars(value).get(name) for name in ("__new__", "__init__", "__post_init__"))
        yield from (method for method in methods if isinstance(method, FunctionType))
    else:
        yield value


def _nodes(source: Source | None) -> list[ast.AST]:
    if source is None:
        return []
    return list(source.node) if isinstance(source.node, list) else [source.node]


def _is_bound(cell: CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def _at_import(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield what runs at import: no bodies of functions, and no references without a call."""
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += [*node.decorator_list, *node.args.defaults]
            waiting += [default for default in node.args.kw_defaults if default is not None]
        elif isinstance(node, ast.If) and _is_main_guard(node.test):
            waiting += node.orelse
        elif isinstance(node, ast.expr | ast.Import | ast.ImportFrom):
            yield node
        else:
            waiting += ast.iter_child_nodes(node)


def _is_main_guard(test: ast.expr) -> bool:
    return any(isinstance(node, ast.Name) and node.id == "__name__" for node in ast.walk(test))


def _scan(nodes: Iterable[ast.AST], namespace: Mapping[str, Any]) -> _Part:
    """Return the variables that nodes read, with the functions that they call and their imports.

    Args:
        nodes: Syntax trees.
        namespace: Values of the names that the code sees.
    """
    parts = [node for tree in nodes for node in _scanned_nodes(tree)]
    scope = dict(namespace)
    for node in parts:
        if isinstance(node, ast.Import | ast.ImportFrom):
            scope.update(_imported(node, namespace))
    names: set[str] = set()
    refers: list[Any] = []
    for node in parts:
        name = _variable_read(node, scope)
        if name is not None:
            names.add(name)
        if isinstance(node, ast.Import | ast.ImportFrom):
            refers += _modules(node, namespace)
        elif isinstance(node, ast.Call):
            refers.append(_value(node.func, scope))
    return _Part(frozenset(names), tuple(refers))


@functools.lru_cache(maxsize=1024)
def _scanned_nodes(tree: ast.AST) -> tuple[ast.AST, ...]:
    """Return the nodes of a tree that can matter. Functions made in a loop share their tree."""
    kinds = (ast.Import, ast.ImportFrom, ast.Call, ast.Subscript, ast.Compare)
    return tuple(node for node in ast.walk(tree) if isinstance(node, kinds))


def _variable_read(node: ast.AST, scope: Mapping[str, Any]) -> str | None:
    """Return the name of the variable that an expression reads, or None."""
    match node:
        case ast.Subscript(value=mapping, slice=ast.Constant(value=str(name)), ctx=ast.Load()):
            return name if _value(mapping, scope) is os.environ else None
        case ast.Compare(left=ast.Constant(value=str(name)), comparators=[mapping]):
            return name if _value(mapping, scope) is os.environ else None
        case ast.Call(func=function, args=[ast.Constant(value=str(name)), *_]):
            return name if _reads_a_variable(function, scope) else None
        case ast.Call(func=function, keywords=keywords):
            for keyword in keywords:
                match keyword:
                    case ast.keyword(arg="key", value=ast.Constant(value=str(name))):
                        return name if _reads_a_variable(function, scope) else None
    return None


def _reads_a_variable(function: ast.expr, scope: Mapping[str, Any]) -> bool:
    if isinstance(function, ast.Attribute) and function.attr in _READERS:
        return _value(function.value, scope) is os.environ
    return _value(function, scope) is os.getenv


def _value(node: ast.expr, scope: Mapping[str, Any]) -> Any:
    """Return the value of a name, or of an attribute of a module; nothing else is evaluated."""
    if isinstance(node, ast.Name):
        return scope.get(node.id, _MISSING)
    if isinstance(node, ast.Attribute):
        owner = _value(node.value, scope)
        return vars(owner).get(node.attr, _MISSING) if isinstance(owner, ModuleType) else _MISSING
    return _MISSING


def _imported(
    node: ast.Import | ast.ImportFrom, namespace: Mapping[str, Any]
) -> Iterator[tuple[str, Any]]:
    """Yield the names that an import statement binds, with their values if they are known."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            top = alias.name.partition(".")[0]
            yield alias.asname or top, _module(alias.name if alias.asname else top)
        return
    module = _module(absolute_name(node.module or "", node.level, namespace))
    for alias in node.names:
        yield alias.asname or alias.name, getattr(module, "__dict__", {}).get(alias.name, _MISSING)


def _modules(
    node: ast.Import | ast.ImportFrom, namespace: Mapping[str, Any]
) -> Iterator[ModuleType | None]:
    """Yield the modules that an import statement imports."""
    if isinstance(node, ast.Import):
        yield from (_module(alias.name) for alias in node.names)
        return
    name = absolute_name(node.module or "", node.level, namespace)
    yield _module(name)
    yield from (_module(f"{name}.{alias.name}") for alias in node.names if alias.name != "*")


def _module(name: str | None) -> ModuleType | None:
    """Return a module, or a placeholder for a module of the user that is not imported yet."""
    if name is None or name in sys.modules:
        return sys.modules.get(name or "")
    if (file := find_module_file(name)) is None:
        return None
    module = ModuleType(name)
    module.__file__ = str(file)
    return module
