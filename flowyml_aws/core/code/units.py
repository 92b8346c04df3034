"""Units of the user's code: functions, classes, constants, modules, and who refers to whom."""

from __future__ import annotations

import builtins
import hashlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import EnumMeta
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from flowyml_aws.core.code.bytecode import bytecode_content, bytecode_references
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
"""Identifies a unit as long as its reader lives."""

# Say where code lies, not what it does.
_FACTS_OF_A_MODULE = frozenset(
    {"__builtins__", "__cached__", "__doc__", "__file__", "__loader__", "__name__"}
    | {"__package__", "__path__", "__spec__"}
)


@dataclass(frozen=True, slots=True)
class Unit:
    """One function, class, constant or module.

    Attributes:
        label: Its qualified name, not always unique.
        digest: Of what it says, with the names of what it refers to.
        refers: The units that these names mean, in an order that is the same in every process.
    """

    label: str
    digest: bytes
    refers: tuple[Key, ...]


@dataclass(slots=True)
class _Place:
    """Where names are looked up: the globals of a module, before them what a closure holds."""

    names: Mapping[str, Any]
    label: str
    closure: Mapping[str, Any] = field(default_factory=dict)
    owner: int = 0


class UnitReader:
    """Reads each unit once; what it has read does not follow changes of the running program."""

    def __init__(self) -> None:
        self._makers: dict[Key, Callable[[], Unit]] = {}
        self._units: dict[Key, Unit] = {}
        self._alive: list[object] = []  # keys hold addresses
        self._files: dict[str, Path | None] = {}

    def unit(self, key: Key) -> Unit:
        """A unit whose key this reader gave."""
        if key not in self._units:
            self._units[key] = self._makers[key]()
        return self._units[key]

    def key_of(self, value: Any, label: str) -> Key | str:
        """The key of a value (as a unit called `label` where it is no code), or its name."""
        found = self._known(value)
        return found or self._constant(("value", id(value)), value, label, None)

    def _known(self, value: Any) -> Key | str | None:
        """The key of the user's code, or the name of other code."""
        if (code := users_code(value)) is not None:
            return self._code(code)
        return None if is_decorated(value) else external_name(value)

    def _code(self, code: Code) -> Key:
        self._alive.append(code)
        if isinstance(code, FunctionType):
            return self._later(("function", id(code)), lambda: self._function(code))
        if isinstance(code, type):
            return self._later(("class", id(code)), lambda: self._class(code))
        file = getattr(code, "__file__", None)
        return self._module(code.__name__, Path(file) if isinstance(file, str) else None)

    def _later(self, key: Key, make: Callable[[], Unit]) -> Key:
        self._makers.setdefault(key, make)
        return key

    def _function(self, function: FunctionType) -> Unit:
        names, code = function.__globals__, function.__code__
        source = function_source(function)
        label = f"{module_label(names)}.{source.qualname if source else function.__qualname__}"
        place = _Place(names, label, _closure(function), id(function))
        unit = _Draft(self, label)
        if source is not None:
            unit.says(source.content, source.references, place)
        else:
            unit.says(bytecode_content(code), bytecode_references(code), place)
        unit.holds((function.__defaults__, function.__kwdefaults__))
        if isinstance(cls := names.get(function.__qualname__.partition(".")[0]), type):
            unit.refers.append(("class", self.key_of(cls, cls.__name__)))  # what `self` leads to
        return unit.made()

    def _class(self, cls: type) -> Unit:
        functions = list(functions_of_class(cls))
        module = sys.modules.get(cls.__module__)
        names = vars(module) if module else functions[0].__globals__ if functions else {}
        label = f"{module_label(names or {'__name__': cls.__module__})}.{cls.__qualname__}"
        closure = {name: value for f in functions for name, value in _closure(f).items()}
        unit = _Draft(self, label)
        place = _Place(names, label, closure, id(cls))
        source = class_source(cls)
        if source is not None:
            unit.says(source.content, source.references, place)
        else:
            unit.holds(tuple(_described(cls)))
            source = bindings_source(names, cls.__name__)
            if source is not None:
                unit.says(source.content, source.references, place)
        # Also bases that no name leads to; metaclasses of others change their names (EnumMeta).
        for position, base in enumerate((type(cls), *cls.__bases__)):
            if users_code(base) is not None:
                unit.refers.append((f"base {position}", self.key_of(base, base.__name__)))
        return unit.made()

    def _module(self, name: str, file: Path | None) -> Key:
        return self._later(("module", name), lambda: self._whole_module(name, file))

    def _whole_module(self, name: str, file: Path | None) -> Unit:
        unit = _Draft(self, module_label(vars(sys.modules.get(name, ModuleType(name)))))
        source = module_source(file) if file is not None else None
        if source is not None:
            package = file is not None and file.stem == "__init__"
            names = {"__package__": name if package else name.rpartition(".")[0]}
            # Its own names are inside it: only its imports lead further.
            imports = References((), source.references.imports)
            unit.says(source.content, imports, _Place(names, name))
        elif file is not None and file.is_file():
            unit.says(file.read_bytes(), References((), ()), _Place({}, name))
        return unit.made()

    def _constant(self, key: Key, value: Any, label: str, home: tuple[str, _Place] | None) -> Key:
        self._alive.append(value)
        if is_decorated(value):
            label += " (decorated)"  # the function below has that label itself

        def make() -> Unit:
            unit = _Draft(self, label)
            if unit.holds(value) or home is None:
                return unit.made()
            # What its value does not tell, a lock or a connection, is told by how it was made.
            name, place = home
            source = bindings_source(place.names, name)
            if source is None:
                return unit.made()
            if users_code(type(value)) is None:
                # What a connection holds comes and goes: sockets, credentials for an hour.
                unit = _Draft(self, label)
                unit.holds(type(value))
            unit.says(source.content, source.references, place)
            return unit.made()

        return self._later(key, make)

    def look_up(self, chain: tuple[str, ...], place: _Place) -> Key | str | None:
        """What a name with its attributes means in a place; None for what Python brings."""
        root, *attributes = chain
        if root in place.closure:
            key: Key = ("closure", place.owner, root)
            return self._follow(key, place.closure[root], f"{place.label}.{root}", None, attributes)
        if root in place.names:
            if root in _FACTS_OF_A_MODULE:
                return None
            label = f"{module_label(place.names)}.{root}"
            key = ("global", id(place.names), root)
            home = (root, _Place(place.names, label))
            return self._follow(key, place.names[root], label, home, attributes)
        return None if hasattr(builtins, root) else "(undefined)"

    def _follow(
        self,
        key: Key,
        value: Any,
        label: str,
        home: tuple[str, _Place] | None,
        attributes: list[str],
    ) -> Key | str | None:
        """Step from modules of the user's into what they define, as `helpers.clean` does."""
        for name in attributes:
            if not isinstance(value, ModuleType) or users_code(value) is None:
                break
            names = vars(value)
            if name in _FACTS_OF_A_MODULE:
                return None
            if name not in names:
                break
            label, value = f"{module_label(names)}.{name}", names[name]
            key, home = ("global", id(names), name), (name, _Place(names, label))
        return self._known(value) or self._constant(key, value, label, home)

    def imported(self, statement: Import, place: _Place) -> Iterator[tuple[str, Key]]:
        """The user's modules that an import statement names."""
        module = absolute_name(statement.module, statement.level, place.names)
        if module is None:
            return
        found = {name: self._file(f"{module}.{name}") for name in statement.names}
        for name, file in found.items():
            if file is not None:
                yield f"import {name}", self._module(f"{module}.{name}", file)
        # What is no module of a package is defined in the package itself.
        if not found or None in found.values():
            file = self._file(module)
            if file is not None:
                yield f"import {statement.module}", self._module(module, file)

    def _file(self, module: str) -> Path | None:
        if module not in self._files:
            self._files[module] = find_module_file(module)
        return self._files[module]


class _Draft:
    """A unit being read."""

    def __init__(self, reader: UnitReader, label: str) -> None:
        self._reader = reader
        self._label = label
        self._said: list[bytes] = []
        self.refers: list[tuple[str, Key | str]] = []

    def says(self, content: bytes, references: References, place: _Place) -> None:
        """Its text, and what that refers to."""
        self._said.append(content)
        for chain in references.chains:
            target = self._reader.look_up(chain, place)
            if target is not None:
                self.refers.append((".".join(chain), target))
        for statement in references.imports:
            self.refers += self._reader.imported(statement, place)

    def holds(self, value: Any) -> bool:
        """A value; False if something in it could only be told by its type."""
        encoder = Encoder(self._refer)
        self._said.append(encoder.encode(value))
        return encoder.complete

    def made(self) -> Unit:
        said = b"".join(b"%d:%b" % (len(part), part) for part in self._said)
        names = [
            f"{name}={target if isinstance(target, str) else ''}" for name, target in self.refers
        ]
        digest = hashlib.sha256(said + "\n".join(names).encode("utf-8", "surrogatepass"))
        keys = tuple(target for _, target in self.refers if not isinstance(target, str))
        return Unit(self._label, digest.digest(), keys)

    def _refer(self, code: Code) -> bytes:
        position = len(self.refers)
        self.refers.append((f"#{position}", self._reader._code(code)))
        return b"r%d;" % position


def _closure(function: FunctionType) -> dict[str, Any]:
    held = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        # A cell is empty until its variable has a value.
        with suppress(ValueError):
            held[name] = cell.cell_contents
    return held


def _described(cls: type) -> Iterator[tuple[str, Any]]:
    """A class without text: its fields and what stands in it, by name."""
    yield "fields", list(inspect.get_annotations(cls).items())
    if isinstance(cls, EnumMeta):
        yield "members", [(name, cls[name].value) for name in cls.__members__]
        return
    for name, value in sorted(vars(cls).items()):
        generated = isinstance(value, FunctionType) and value.__code__.co_filename == "<string>"
        if not generated and (isinstance(value, FunctionType) or not name.startswith("__")):
            yield name, value
