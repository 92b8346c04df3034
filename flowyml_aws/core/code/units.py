"""Units of the user's code (functions, classes, constants, modules) and their references."""

from __future__ import annotations

import builtins
import hashlib
import inspect
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import EnumMeta
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from flowyml_aws.core.code.bytecode import bytecode_content, bytecode_references
from flowyml_aws.core.code.closures import closure_variables
from flowyml_aws.core.code.names import Import, References
from flowyml_aws.core.code.ownership import Code, external_name, is_decorated, users_code
from flowyml_aws.core.code.source import (
    bindings_source,
    class_source,
    function_source,
    functions_of_class,
    module_source,
)
from flowyml_aws.core.code.values import Encoder
from flowyml_aws.core.modules import absolute_name, find_module_file, module_label

__all__ = ["Key", "Unit", "UnitReader"]

Key = tuple[str | int, ...]
"""Identifies a unit during the lifetime of its reader."""

# These describe the location of code, not its behavior.
_MODULE_METADATA = frozenset(
    {"__builtins__", "__cached__", "__doc__", "__file__", "__loader__", "__name__"}
    | {"__package__", "__path__", "__spec__"}
)


@dataclass(frozen=True, slots=True)
class Unit:
    """A function, class, constant or module.

    Attributes:
        label: Qualified name, not always unique.
        digest: SHA-256 of the content and of the names that it refers to.
        refers: Units that these names refer to, in an order that is the same in every process.
    """

    label: str
    digest: bytes
    refers: tuple[Key, ...]


@dataclass(slots=True)
class _Namespace:
    """The names that code sees: the variables of its closure, then the globals of its module."""

    names: Mapping[str, Any]
    label: str
    closure: Mapping[str, Any] = field(default_factory=dict)
    owner: int = 0


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
        return self._units[key]

    def key_of(self, value: Any, label: str) -> Key | str:
        """Return the key of a value, or the name of external code.

        A value that is not code becomes a constant with the given label.
        """
        known = self._known(value)
        return known or self._constant(("value", id(value)), value, label, None)

    def _known(self, value: Any) -> Key | str | None:
        """Return the key of the user's code, the name of other code, or None for other values."""
        if (code := users_code(value)) is not None:
            return self._code(code)
        return None if is_decorated(value) else external_name(value)

    def _code(self, code: Code) -> Key:
        self._alive.append(code)
        if isinstance(code, FunctionType):
            return self._register(("function", id(code)), lambda: self._function(code))
        if isinstance(code, type):
            return self._register(("class", id(code)), lambda: self._class(code))
        file = getattr(code, "__file__", None)
        return self._module(code.__name__, Path(file) if isinstance(file, str) else None)

    def _register(self, key: Key, make: Callable[[], Unit]) -> Key:
        self._makers.setdefault(key, make)
        return key

    def _function(self, function: FunctionType) -> Unit:
        names, code = function.__globals__, function.__code__
        source = function_source(function)
        label = f"{module_label(names)}.{source.qualname if source else function.__qualname__}"
        namespace = _Namespace(names, label, closure_variables(function), id(function))
        unit = _Draft(self, label)
        if source is not None:
            unit.add_code(source.content, source.references, namespace)
        else:
            unit.add_code(bytecode_content(code), bytecode_references(code), namespace)
        unit.add_value((function.__defaults__, function.__kwdefaults__))
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
        unit = _Draft(self, label)
        namespace = _Namespace(names, label, closure, id(cls))
        source = class_source(cls)
        if source is not None:
            unit.add_code(source.content, source.references, namespace)
        else:
            unit.add_value(tuple(_class_members(cls)))
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
        unit = _Draft(self, module_label(vars(sys.modules.get(name, ModuleType(name)))))
        source = module_source(file) if file is not None else None
        if source is not None:
            package = file is not None and file.stem == "__init__"
            names = {"__package__": name if package else name.rpartition(".")[0]}
            # A module defines its names itself, so only its imports are references.
            imports = References((), source.references.imports)
            unit.add_code(source.content, imports, _Namespace(names, name))
        elif file is not None and file.is_file():
            unit.add_code(file.read_bytes(), References((), ()), _Namespace({}, name))
        return unit.finish()

    def _constant(
        self, key: Key, value: Any, label: str, home: tuple[str, _Namespace] | None
    ) -> Key:
        self._alive.append(value)
        if is_decorated(value):
            label += " (decorated)"  # the wrapped function has the plain label

        def make() -> Unit:
            unit = _Draft(self, label)
            names = set() if home is None else {home[0], label}
            if names & self._carried:
                unit.add_value("carried")
            if not names & self._evaluated and (unit.add_value(value) or home is None):
                return unit.finish()
            # An opaque value, such as a lock or a connection, is identified by its definition.
            assert home is not None
            name, namespace = home
            source = bindings_source(namespace.names, name)
            if source is None:
                return unit.finish()
            if users_code(type(value)) is None and not names & self._evaluated:
                # The state of a connection changes: sockets, temporary credentials.
                unit = _Draft(self, label)
                unit.add_value(type(value))
            unit.add_code(source.content, source.references, namespace)
            return unit.finish()

        return self._register(key, make)

    def look_up(self, chain: tuple[str, ...], namespace: _Namespace) -> Key | str | None:
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
            home = (root, _Namespace(namespace.names, label))
            return self._follow(key, namespace.names[root], label, home, attributes)
        return None if hasattr(builtins, root) else "(undefined)"

    def _follow(
        self,
        key: Key,
        value: Any,
        label: str,
        home: tuple[str, _Namespace] | None,
        attributes: list[str],
    ) -> Key | str | None:
        """Follow attributes of the user's modules to what they define (`helpers.clean`)."""
        for name in attributes:
            if not isinstance(value, ModuleType) or users_code(value) is None:
                break
            names = vars(value)
            if name in _MODULE_METADATA:
                return None
            if name not in names:
                break
            label, value = f"{module_label(names)}.{name}", names[name]
            key, home = ("global", id(names), name), (name, _Namespace(names, label))
        return self._known(value) or self._constant(key, value, label, home)

    def imported(self, statement: Import, namespace: _Namespace) -> Iterator[tuple[str, Key]]:
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


class _Draft:
    """A unit under construction."""

    def __init__(self, reader: UnitReader, label: str) -> None:
        self._reader = reader
        self._label = label
        self._contents: list[bytes] = []
        self.refers: list[tuple[str, Key | str]] = []

    def add_code(self, content: bytes, references: References, namespace: _Namespace) -> None:
        """Add code and its references."""
        self._contents.append(content)
        for chain in references.chains:
            target = self._reader.look_up(chain, namespace)
            if target is not None:
                self.refers.append((".".join(chain), target))
        for statement in references.imports:
            self.refers += self._reader.imported(statement, namespace)

    def add_value(self, value: Any) -> bool:
        """Add a value; return False if a part of it could only be identified by its type."""
        encoder = Encoder(self._refer)
        self._contents.append(encoder.encode(value))
        return encoder.complete

    def finish(self) -> Unit:
        content = b"".join(b"%d:%b" % (len(part), part) for part in self._contents)
        names = [
            f"{name}={target if isinstance(target, str) else ''}" for name, target in self.refers
        ]
        digest = hashlib.sha256(content + "\n".join(names).encode("utf-8", "surrogatepass"))
        keys = tuple(target for _, target in self.refers if not isinstance(target, str))
        return Unit(self._label, digest.digest(), keys)

    def _refer(self, code: Code) -> bytes:
        position = len(self.refers)
        self.refers.append((f"#{position}", self._reader._code(code)))
        return b"r%d;" % position


def _class_members(cls: type) -> Iterator[tuple[str, Any]]:
    """Yield the fields and members of a class without source text, by name."""
    yield "fields", list(inspect.get_annotations(cls).items())
    if isinstance(cls, EnumMeta):
        yield "members", [(name, cls[name].value) for name in cls.__members__]
        return
    for name, value in sorted(vars(cls).items()):
        generated = isinstance(value, FunctionType) and value.__code__.co_filename == "<string>"
        if not generated and (isinstance(value, FunctionType) or not name.startswith("__")):
            yield name, value
