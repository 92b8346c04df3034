"""Units of the user's code (functions, classes, constants, modules) and their references."""

from __future__ import annotations

import builtins
import inspect
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from flowyml_aws.code.bytecode import bytecode_content, bytecode_references
from flowyml_aws.code.class_members import add_members, all_members
from flowyml_aws.code.members import closure_variables, own_attributes
from flowyml_aws.code.names import Import, References
from flowyml_aws.code.ownership import Code, external_name, is_decorated, users_code
from flowyml_aws.code.patches import patched_names
from flowyml_aws.code.source import (
    bindings_source,
    class_source,
    definition_source,
    function_source,
    functions_of_class,
    module_source,
    rebinding_functions,
)
from flowyml_aws.code.unit import Draft, Key, Namespace, Unit
from flowyml_aws.core.modules import absolute_name, find_module_file, module_label
from flowyml_aws.core.step_objects import unwrap_step

__all__ = ["Key", "Unit", "UnitReader"]

# These describe the location of code, not its behavior.
_MODULE_METADATA = frozenset(
    {"__builtins__", "__cached__", "__file__", "__loader__", "__name__", "__package__"}
    | {"__path__", "__spec__"}
)


class UnitReader:
    """Reads each unit once; later changes of the running program are not noticed.

    Args:
        carried: Names of globals whose values the user carries to the jobs.
        evaluated: Names of globals that each job evaluates again: they are identified by their
            definition, not by their value on the client.
    """

    def __init__(self, carried: Collection[str] = (), evaluated: Collection[str] = ()) -> None:
        self._carried, self._evaluated = frozenset(carried), frozenset(evaluated)
        self._makers: dict[Key, Callable[[], Unit]] = {}
        self._units: dict[Key, Unit] = {}
        self._alive: list[object] = []  # keys contain addresses
        self._files: dict[str, Path | None] = {}

    def unit(self, key: Key) -> Unit:
        """Return the unit of a key from this reader."""
        if key not in self._units:
            self._units[key] = self._makers[key]()
            del self._makers[key]  # it refers to values that nothing else needs
        return self._units[key]

    def key_of(self, value: Any, label: str) -> Key | str:
        """Return the key of a value, or the name of external code.

        A value that is not code becomes a constant with the given label.
        """
        known = self._known(value)
        return known or self._constant(("value", id(value)), value, label, _home(value, label))

    def _known(self, value: Any) -> Key | str | None:
        """Return the key of the user's code, the name of other code, or None for other values."""
        if (code := users_code(value)) is not None:
            return self.key_of_code(code)
        return None if is_decorated(value) else external_name(value)

    def key_of_code(self, code: Code) -> Key:
        """Return the key of the user's code."""
        self._alive.append(code)
        if isinstance(code, FunctionType):
            return self._register(("function", id(code)), lambda: self._function(code))
        if isinstance(code, type):
            return self._register(("class", id(code)), lambda: self._class(code))
        file = getattr(code, "__file__", None)
        if not isinstance(file, str) and not hasattr(code, "__path__"):
            return self._register(("made module", id(code)), lambda: self._made_module(code))
        return self._module(code.__name__, Path(file) if isinstance(file, str) else None)

    def _register(self, key: Key, make: Callable[[], Unit]) -> Key:
        if key not in self._units:
            self._makers.setdefault(key, make)
        return key

    def _function(self, function: FunctionType) -> Unit:
        names, code = function.__globals__, function.__code__
        source = function_source(function)
        label = f"{module_label(names)}.{source.qualname if source else function.__qualname__}"
        namespace = Namespace(names, label, closure_variables(function), id(function))
        unit = Draft(self, label)
        if source is not None:
            unit.add_code(source.content, source.references, namespace)
        else:
            unit.add_code(bytecode_content(code), bytecode_references(code), namespace)
        if unit.reads_docs:
            unit.add_value(function.__doc__)
        unit.add_value((function.__defaults__, function.__kwdefaults__), f"a default of {label}")
        if attributes := own_attributes(function):
            unit.add_value(attributes, f"an attribute of {label}")
        if isinstance(cls := names.get(function.__qualname__.partition(".")[0]), type):
            # The code can use other members of its class through `self`.
            unit.refers.append(("class", self.key_of(cls, cls.__name__)))
        return unit.finish()

    def _class(self, cls: type) -> Unit:
        functions = list(functions_of_class(cls))
        module = sys.modules.get(cls.__module__)
        names = vars(module) if module else functions[0].__globals__ if functions else {}
        label = f"{module_label(names or {'__name__': cls.__module__})}.{cls.__qualname__}"
        closure = {name: value for f in functions for name, value in closure_variables(f).items()}
        unit = Draft(self, label)
        namespace = Namespace(names, label, closure, id(cls))
        source = class_source(cls)
        if source is not None:
            unit.add_code(source.content, source.references, namespace)
            if unit.reads_docs:
                unit.add_value(cls.__doc__)
            add_members(unit, cls, source)
        else:
            unit.add_value(tuple(all_members(cls)), f"an attribute of {label}")
            source = bindings_source(names, cls.__name__)
            if source is not None:
                unit.add_code(source.content, source.references, namespace)
        # Bases need no name in the code. Metaclasses of others are skipped: their names change.
        for position, base in enumerate((type(cls), *cls.__bases__)):
            if users_code(base) is not None:
                unit.refers.append((f"base {position}", self.key_of(base, base.__name__)))
        return unit.finish()

    def _module(self, name: str, file: Path | None) -> Key:
        return self._register(("module", name), lambda: self._whole_module(name, file))

    def _whole_module(self, name: str, file: Path | None) -> Unit:
        unit = Draft(self, module_label(vars(sys.modules.get(name, ModuleType(name)))))
        source = module_source(file) if file is not None else None
        if source is not None:
            package = file is not None and file.stem == "__init__"
            names = {"__package__": name if package else name.rpartition(".")[0]}
            # A module defines its names itself, so only its imports are references.
            imports = References((), source.references.imports)
            unit.add_code(source.content, imports, Namespace(names, name))
            module = sys.modules.get(name)
            if file is not None and getattr(module, "__file__", None) == str(file):
                values = Namespace(vars(module), module_label(vars(module)))
                unit.add_names(sorted(patched_names(file, values.names)), values)
        elif file is not None and file.is_file():
            unit.add_code(file.read_bytes(), References((), ()), Namespace({}, name))
        return unit.finish()

    def _made_module(self, module: ModuleType) -> Unit:
        """Return the unit of a module that has no file, such as `types.ModuleType("config")`."""
        label = module_label(vars(module))
        unit = Draft(self, label)
        names = sorted(name for name in vars(module) if not name.startswith("__"))
        unit.add_names(names, Namespace(vars(module), label))
        return unit.finish()

    def _constant(
        self, key: Key, value: Any, label: str, home: tuple[str, Namespace] | None
    ) -> Key:
        self._alive.append(value)
        if is_decorated(value):
            label += " (decorated)"  # the wrapped function has the plain label

        def make() -> Unit:
            unit = Draft(self, label)
            names = set() if home is None else {home[0], label}
            if names & self._carried:
                unit.add_value("carried")
            is_evaluated = bool(names & self._evaluated)
            is_complete = not is_evaluated and unit.add_value(value)
            if home is None or (is_complete and not is_decorated(value)):
                return unit.finish()
            # An opaque value, such as a lock or a connection, is identified by its definition.
            # So are the arguments of a decorator.
            name, namespace = _home(value, label) or home
            source = definition_source(namespace.names, name)
            setters = rebinding_functions(namespace.names, name)
            is_imported = source is not None and bool(source.references.imports)
            if (source is None and not setters) or (is_complete and is_imported):
                return unit.finish()
            is_users = users_code(type(value)) is not None or is_decorated(value)
            if not is_users and not is_evaluated:
                # The state of a connection changes: sockets, temporary credentials.
                unit = Draft(self, label)
                unit.add_value(type(value))
            unit.opaque.clear()
            if source is not None:
                unit.add_code(source.content, source.references, namespace)
            unit.add_names(sorted(set(setters) & namespace.names.keys()), namespace)
            return unit.finish()

        return self._register(key, make)

    def look_up(self, chain: tuple[str, ...], namespace: Namespace) -> Key | str | None:
        """Resolve a name with its attributes; None for builtins and module metadata."""
        root, *attributes = chain
        if root in namespace.closure:
            key: Key = ("closure", namespace.owner, root)
            return self._follow(
                key, namespace.closure[root], f"{namespace.label}.{root}", None, attributes
            )
        if root in namespace.names:
            if root in _MODULE_METADATA:
                return None
            label = f"{module_label(namespace.names)}.{root}"
            key = ("global", id(namespace.names), root)
            home = (root, Namespace(namespace.names, label))
            return self._follow(key, namespace.names[root], label, home, attributes)
        if hasattr(builtins, root):
            code = users_code(getattr(builtins, root))  # a patch, otherwise None
            return None if code is None else self.key_of_code(code)
        return "(undefined)"

    def _follow(
        self,
        key: Key,
        value: Any,
        label: str,
        home: tuple[str, Namespace] | None,
        attributes: list[str],
    ) -> Key | str | None:
        """Follow attributes of the user's modules to what they define (`helpers.clean`)."""
        for position, name in enumerate(attributes):
            if not isinstance(value, ModuleType):
                break
            if users_code(value) is None:
                code = _code_in_package(value, attributes[position:])
                return self._known(value) if code is None else self.key_of_code(code)
            names = vars(value)
            if name in _MODULE_METADATA:
                return None
            if name not in names:
                break
            label, value = f"{module_label(names)}.{name}", names[name]
            key, home = ("global", id(names), name), (name, Namespace(names, label))
        return self._known(value) or self._constant(key, value, label, home)

    def imported(self, statement: Import, namespace: Namespace) -> Iterator[tuple[str, Key]]:
        """Yield the user's modules that an import statement names."""
        module = absolute_name(statement.module, statement.level, namespace.names)
        if module is None:
            return
        files = {name: self._file(f"{module}.{name}") for name in statement.names}
        for name, file in files.items():
            if file is not None:
                yield f"import {name}", self._module(f"{module}.{name}", file)
        # Names that are not submodules are defined in the package itself.
        if not files or None in files.values():
            file = self._file(module)
            if file is not None:
                yield f"import {statement.module}", self._module(module, file)

    def _file(self, module: str) -> Path | None:
        if module not in self._files:
            self._files[module] = find_module_file(module)
        return self._files[module]


def _home(value: Any, label: str) -> tuple[str, Namespace] | None:
    """Return the global name of a decorated function, and its module's namespace."""
    if not is_decorated(value):
        return None
    function = inspect.unwrap(value)
    name, names = getattr(function, "__qualname__", ""), getattr(function, "__globals__", {})
    return (name, Namespace(names, label)) if unwrap_step(names.get(name)) is value else None


def _code_in_package(module: ModuleType, attributes: list[str]) -> Code | None:
    """Return the user's code that replaces an attribute of a package, or None."""
    value: Any = module
    for name in attributes:
        if not isinstance(value, ModuleType):
            return None
        value = vars(value).get(name)
    return None if isinstance(value, ModuleType) else users_code(value)
