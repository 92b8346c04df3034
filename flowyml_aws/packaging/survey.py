"""Survey of the bindings that steps use, directly or through the user's functions and classes."""

from __future__ import annotations

import builtins
import inspect
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from types import FunctionType, ModuleType
from typing import Any

from flowyml_aws.code.bindings import Binding, binding_of, raw_value
from flowyml_aws.code.bytecode import bytecode_references
from flowyml_aws.code.members import closure_variables
from flowyml_aws.code.names import Import
from flowyml_aws.code.ownership import Code, users_code
from flowyml_aws.code.source import (
    Source,
    bindings_source,
    is_guard,
    rebinding_functions,
)
from flowyml_aws.code.states import (
    BindingReader,
    State,
    is_compiled_from_file,
    names_in,
)
from flowyml_aws.code.values import UsersEncoder
from flowyml_aws.core.modules import absolute_name, is_users_module
from flowyml_aws.core.step import Step
from flowyml_aws.scripts import stable_name

__all__ = ["Survey", "SurveyedBinding", "survey"]

# Code that reads globals whose names it does not contain.
_READS_ALL = frozenset({"globals", "eval", "exec", "vars", "locals"})
_METADATA = frozenset(
    {"__builtins__", "__cached__", "__doc__", "__file__", "__loader__", "__name__"}
    | {"__package__", "__path__", "__spec__", "__annotations__", "__annotate__"}
)


_Node = Binding | int | tuple[str, str]
"""A binding, the address of a piece of code, or the name of a step or context value."""


@dataclass(frozen=True, slots=True)
class SurveyedBinding:
    """A binding that steps use, with its state in this process.

    Attributes:
        state: State of the value.
        value: The value.
        by_source: Whether the module's bytecode is not that of its file.
        is_attribute: Whether it is an attribute of a class.
        uses: Bindings that the statements use which assign an incomparable value.
        assigned: Unusual place of the assignment of an incomparable value, as a clause.
    """

    state: State
    value: Any
    by_source: bool
    is_attribute: bool
    uses: frozenset[Binding] = frozenset()
    assigned: str | None = None


@dataclass(frozen=True, slots=True)
class Survey:
    """The bindings that the steps of a pipeline use.

    Attributes:
        bindings: Bindings of the user's modules, with their states.
        edges: Bindings and pieces of code that each step, context value, binding or piece of code
            uses. A name may be missing here; a module with all its names is a binding without name.
        names: Names that the modules and classes of these bindings have here.
        folders: Paths of the project's root in this process.
    """

    bindings: Mapping[Binding, SurveyedBinding]
    edges: Mapping[_Node, frozenset[_Node]]
    names: Mapping[Binding, frozenset[str]] = field(default_factory=dict)
    folders: tuple[str, ...] = ()

    @property
    def missing(self) -> frozenset[Binding]:
        """Names that steps use and that are missing here."""
        nodes = frozenset[_Node]().union(*self.edges.values()) - self.bindings.keys()
        return frozenset(node for node in nodes if isinstance(node, Binding) and node.name)

    def used_by(self, steps: Iterable[str], context: Iterable[str]) -> frozenset[Binding]:
        """Return the bindings that some steps and context values use.

        Args:
            steps: Names of steps.
            context: Names of context values.
        """
        waiting: list[_Node] = [*(("step", name) for name in steps)]
        waiting += (("context", name) for name in context)
        seen = set(waiting)
        while waiting:
            inner = self.edges.get(waiting.pop(), frozenset()) - seen
            seen |= inner
            waiting += inner
        return frozenset(node for node in seen if isinstance(node, Binding))

    def users_digest(self, binding: Binding) -> str:
        """Return the digest of a value in which objects of packages count by their type only."""
        folder, *links = self.folders or ("",)
        reader = BindingReader(stable_name, folder, links=links, encoder=UsersEncoder)
        return reader.state(binding, self.bindings[binding].by_source).digest


def survey(steps: Iterable[Step], context: Mapping[str, Any], folder: str) -> Survey:
    """Return the bindings that steps use.

    Args:
        steps: The steps.
        context: Context values, whose classes count as used.
        folder: The project's root.
    """
    surveyor = _Surveyor(folder)
    for step in steps:
        with surveyor.users(("step", step.name)):
            for function in (step.func, step.condition):
                if function is not None:
                    surveyor.add_value(function)
    for name, value in context.items():
        with surveyor.users(("context", name)):
            surveyor.add_value(value)
    return surveyor.finish()


class _Surveyor:
    def __init__(self, folder: str) -> None:
        self._pending: list[Code] = []
        self._alive: list[object] = []  # nodes contain addresses
        self._bindings: dict[Binding, SurveyedBinding] = {}
        self._user: _Node = 0
        self._edges: dict[_Node, set[_Node]] = {}
        self._names: dict[Binding, frozenset[str]] = {}
        links = sorted(set(_links(folder)))
        self._folders = (folder, *links)
        self._reader = BindingReader(stable_name, folder, self._found, links)

    @contextmanager
    def users(self, node: _Node) -> Iterator[None]:
        """Count what the block adds as used by a node."""
        user, self._user = self._user, node
        self._edges.setdefault(node, set())
        try:
            yield
        finally:
            self._user = user

    def add_value(self, value: Any) -> None:
        self._alive.append(value)
        self._reader.read(value)

    def finish(self) -> Survey:
        while self._pending:
            code = self._pending.pop()
            if id(code) not in self._edges:
                with self.users(id(code)):
                    self._visit(code)
        edges = {node: frozenset(used) for node, used in self._edges.items() if used}
        return Survey(self._bindings, edges, self._names, self._folders)

    def _found(self, code: Code) -> None:
        self._edges[self._user].add(id(code))
        self._alive.append(code)
        self._pending.append(code)

    def _visit(self, code: Code) -> None:
        if isinstance(code, ModuleType):
            return  # its attributes are added where they are used
        binding = binding_of(code, stable_name)
        if binding is not None and is_users_module(code.__module__):
            self._add(code.__module__, binding.name)
        if isinstance(code, FunctionType):
            self._visit_function(code)
        else:
            self._visit_class(code)

    def _visit_function(self, function: FunctionType) -> None:
        references = bytecode_references(function.__code__)
        closure = closure_variables(function)
        for value in closure.values():
            self.add_value(value)
        self.add_value((function.__defaults__, function.__kwdefaults__))
        names = function.__globals__
        for chain in references.chains:
            if chain[0] in closure:
                self._follow(closure[chain[0]], chain[1:])
            elif chain[0] in names:
                self._use(names, chain)
            elif chain[0] in _READS_ALL:
                self._use_all(names)
            elif not hasattr(builtins, chain[0]):
                self._use_missing(names, chain[0])
        for statement in references.imports:
            self._import(statement, function)

    def _visit_class(self, cls: type) -> None:
        binding = binding_of(cls, stable_name)
        if binding is not None and is_users_module(cls.__module__):
            self._compare_names(binding)
        for base in (type(cls), *cls.__bases__):
            if users_code(base) is not None:
                self._found(base)
        for name, value in list(vars(cls).items()):
            function = inspect.unwrap(getattr(value, "__func__", value))
            is_users = isinstance(function, FunctionType) and users_code(function) is not None
            if name.startswith("__") and not is_users:
                continue
            if binding is not None and is_users_module(cls.__module__):
                self._add(cls.__module__, f"{binding.name}.{name}", is_attribute=True)
            else:
                self.add_value(getattr(value, "__func__", value))
            if is_users:
                self._found(function)

    def _use(self, names: Mapping[str, Any], chain: tuple[str, ...]) -> None:
        """Add the bindings of a name in a module with these globals, and of its attributes."""
        name, *attributes = chain
        module = _module_with(names)
        if module is None:
            self.add_value(names[name])
        else:
            self._add(module.__name__, name)
        self._follow(names[name], tuple(attributes))

    def _follow(self, value: Any, attributes: tuple[str, ...]) -> None:
        """Add the binding of an attribute of a module, or of all if none is named."""
        if not isinstance(value, ModuleType) or users_code(value) is None:
            return
        if not attributes:
            self._use_all(vars(value))
        elif attributes[0] in vars(value):
            self._use(vars(value), attributes)
        else:
            self._use_missing(vars(value), attributes[0])

    def _use_missing(self, names: Mapping[str, Any], name: str) -> None:
        """Add a name that is missing in the module with these globals, but may exist in jobs."""
        module = _module_with(names)
        if module is not None:
            self._compare_names(Binding(stable_name(module.__name__), ""))
            self._edges[self._user].add(Binding(stable_name(module.__name__), name))

    def _compare_names(self, namespace: Binding) -> None:
        if namespace.module != "__main__" and namespace not in self._names:
            with suppress(LookupError):
                self._names[namespace] = names_in(namespace)

    def _use_all(self, names: Mapping[str, Any]) -> None:
        module = _module_with(names)
        if module is not None:
            whole = Binding(stable_name(module.__name__), "")
            self._compare_names(whole)
            self._edges[self._user].add(whole)
        for name, value in list(names.items()):
            if name in _METADATA or isinstance(value, ModuleType):
                continue
            if module is None:
                self.add_value(value)
            else:
                self._add(module.__name__, name)

    def _import(self, statement: Import, function: FunctionType) -> None:
        """Add what a function uses of the user's modules that it imports."""
        name = absolute_name(statement.module, statement.level, function.__globals__)
        module = sys.modules.get(name or "")
        if module is None or not is_users_module(module.__name__):
            return
        used = set(statement.names) or set(_names_in(function))
        for attribute in sorted(used - vars(module).keys()):
            self._use_missing(vars(module), attribute)
        for attribute in sorted(used & vars(module).keys()):
            self._use(vars(module), (attribute,))
            value = vars(module)[attribute]
            if isinstance(value, ModuleType) and is_users_module(value.__name__):
                for inner in sorted(set(_names_in(function)) & vars(value).keys()):
                    self._use(vars(value), (inner,))

    def _add(self, module: str, name: str, is_attribute: bool = False) -> None:
        binding = Binding(stable_name(module), name)
        if name in _METADATA or not is_users_module(module):
            return
        self._edges[self._user].add(binding)
        if binding in self._edges:
            return
        # The `__getattr__` of a module makes names that it does not have, also in the job.
        with self.users(binding), suppress(LookupError):
            self._read(binding, sys.modules[module], is_attribute)

    def _read(self, binding: Binding, module: ModuleType, is_attribute: bool) -> None:
        name = binding.name
        value = raw_value(module.__name__, name)
        if binding.module == "__main__":  # a notebook or a prompt: its code is pickled by value
            self.add_value(value)
            return
        by_source = not is_compiled_from_file(module)
        state = self._reader.state(binding, by_source)
        self._bindings[binding] = SurveyedBinding(state, value, by_source, is_attribute)
        if state.is_comparable or is_attribute:
            return
        source = bindings_source(vars(module), name)
        # Without source, the module is compiled, or it imports the name by `import *`.
        if source is not None:
            self._bindings[binding] = replace(
                self._bindings[binding],
                uses=frozenset(self._used_by(module, name, source)),
                assigned=_unusual_assignment(module, name, source),
            )

    def _used_by(self, module: ModuleType, name: str, source: Source) -> Iterator[Binding]:
        """Add and yield the bindings that the statements use which assign a name."""
        for chain in source.references.chains:
            if chain[0] in vars(module) and chain[0] not in _METADATA | {name}:
                self._use(vars(module), chain)
                yield Binding(stable_name(module.__name__), chain[0])


def _unusual_assignment(module: ModuleType, name: str, source: Source) -> str | None:
    statements = source.node if isinstance(source.node, list) else [source.node]
    if any(map(is_guard, statements)):
        return 'it is assigned under `if __name__ == "__main__":`'
    functions = rebinding_functions(vars(module), name)
    return f"{functions[0]}() assigns it" if functions else None


def _links(folder: str) -> Iterator[str]:
    """Yield the paths of a folder by which Python found modules, through symbolic links."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or not is_users_module(name):
            continue
        real = os.path.realpath(file)
        inner = real.removeprefix(folder)
        if inner != real and not file.startswith(f"{folder}/") and file.endswith(inner):
            yield file.removesuffix(inner)


def _module_with(names: Mapping[str, Any]) -> ModuleType | None:
    """Return the user's module that has these globals, or None."""
    module = sys.modules.get(str(names.get("__name__")))
    if module is None or vars(module) is not names or not is_users_module(module.__name__):
        return None
    return module


def _names_in(function: FunctionType) -> Iterator[str]:
    waiting = [function.__code__]
    for code in waiting:  # grows during the loop
        yield from code.co_names
        waiting += [const for const in code.co_consts if inspect.iscode(const)]
