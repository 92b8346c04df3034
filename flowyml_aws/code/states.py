"""States of bindings: the values that names of the user's program have in this process.

A program is loaded twice before a run is submitted: by the user, and once more as a job loads it.
Equal states mean that a job has the user's value without carrying it. Code is compared by its
bytecode, so both processes must run one version of Python.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import EnumMeta
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any

from flowyml_aws.code.bindings import Binding, binding_of, raw_value
from flowyml_aws.code.bytecode import bytecode_content
from flowyml_aws.code.members import (
    attributes_of,
    closure_variables,
    declared_fields,
    own_attributes,
    without_descriptor,
)
from flowyml_aws.code.ownership import Code, users_code
from flowyml_aws.code.source import function_source
from flowyml_aws.code.values import Encoder
from flowyml_aws.core.step_objects import unwrap_step

__all__ = ["BindingReader", "State", "is_compiled_from_file", "names_in"]


@dataclass(frozen=True, slots=True)
class State:
    """The value of a binding in one process.

    Attributes:
        digest: SHA-256 of the value, as hex; the user's code in it counts by name.
        is_comparable: Whether the digest covers the whole value; False for a lock or a connection.
        has_moment: Whether the value contains a date, a time of day or a UUID.
    """

    digest: str
    is_comparable: bool = True
    has_moment: bool = False


class BindingReader:
    """Reads the states of bindings in this process.

    Args:
        stable_name: Returns the name of a module that means the same in each process.
        folder: The project's root in this process; it does not count in strings and paths.
        found: Called with the user's code in each value that is read.
        links: Other paths of the root, through symbolic links.
        encoder: Class that encodes the values.
    """

    def __init__(
        self,
        stable_name: Callable[[str], str],
        folder: str,
        found: Callable[[Code], None] = lambda _: None,
        links: Sequence[str] = (),
        encoder: type[Encoder] = Encoder,
    ) -> None:
        self._stable_name = stable_name
        self._folders = (folder, *links) if folder else ()
        self._found = found
        self._encoder = encoder
        self._by_source = self._only_names = False
        self._is_comparable, self._has_moment = True, False
        self._open: list[int] = []

    def state(self, binding: Binding, by_source: bool = False) -> State:
        """Return the state of a binding.

        Args:
            binding: The binding.
            by_source: Whether functions are compared by their source, because the bytecode of the
                client's module is not that of its file.

        Raises:
            LookupError: The name does not exist.
            Exception: The module can't be imported.
        """
        value = without_descriptor(raw_value(binding.module, binding.name))
        code = users_code(value)
        if code is not None:
            self._found(code)
        self._by_source = by_source
        self._is_comparable, self._has_moment = True, False
        own = None if code is None else binding_of(code, self._stable_name)
        is_defined_here = code is not None and (own or binding) == binding
        if isinstance(code, type) and own == binding:  # its attributes are bindings, too
            content = self._encode(_header(code))
        elif isinstance(code, FunctionType) and is_defined_here:
            content = self._function(code) + self._encode(own_attributes(code))
        else:
            content = self._encode(value)
        return State(hashlib.sha256(content).hexdigest(), self._is_comparable, self._has_moment)

    def digest_of_class(self, cls: type) -> str:
        """Return the SHA-256 of a class with its attributes, as hex.

        Other code counts by its name, even if this process does not define it under this name.
        """
        self._only_names = True
        content = [self._encode(_header(cls))]
        for name, value in attributes_of(cls):
            is_own = isinstance(value, FunctionType) and users_code(value) is not None
            content += [name.encode(), self._function(value) if is_own else self._encode(value)]
        self._only_names = False
        return hashlib.sha256(b"".join(b"%d:%b" % (len(c), c) for c in content)).hexdigest()

    def read(self, value: Any) -> None:
        """Report the user's code in a value that has no binding."""
        self._encode(value)

    def _encode(self, value: Any) -> bytes:
        encoder = self._encoder(self._reference, self._folders)
        content = encoder.encode(value)
        self._is_comparable = self._is_comparable and encoder.complete
        self._has_moment = self._has_moment or encoder.has_moment
        return content

    def _reference(self, code: Code) -> bytes:
        self._found(code)
        if self._only_names and "<" not in getattr(code, "__qualname__", ""):
            return f"r{getattr(code, '__qualname__', code.__name__)};".encode()
        if isinstance(code, ModuleType):
            return f"m{self._stable_name(code.__name__)};".encode()
        binding = binding_of(code, self._stable_name)
        if binding is not None:
            return f"r{binding};".encode()
        if id(code) in self._open:
            return b"@%d;" % self._open.index(id(code))
        self._open.append(id(code))
        try:
            if isinstance(code, FunctionType):
                return self._function(code)
            return self._encode((_header(code), attributes_of(code)))
        finally:
            self._open.pop()

    def _function(self, function: FunctionType) -> bytes:
        source = function_source(function) if self._by_source else None
        content = bytecode_content(function.__code__) if source is None else source.content
        parts = (function.__defaults__, function.__kwdefaults__, closure_variables(function))
        return content + self._encode(parts)


def names_in(namespace: Binding) -> frozenset[str]:
    """Return the names that a module or a class defines.

    Names that Python or a package sets are not included.

    Args:
        namespace: A class, or a module as the binding with an empty name.

    Raises:
        LookupError: The class does not exist.
        Exception: The module can't be imported.
    """
    owner: Any = sys.modules.get(namespace.module) or import_module(namespace.module)
    if namespace.name:
        owner = unwrap_step(raw_value(namespace.module, namespace.name))
    if not isinstance(owner, type | ModuleType):
        return frozenset()
    return frozenset(name for name, value in list(vars(owner).items()) if _is_defined(name, value))


def _is_defined(name: str, value: Any) -> bool:
    if isinstance(value, ModuleType):
        return False  # importing a submodule sets it
    parts = without_descriptor(value)
    if any(users_code(part) is not None for part in (parts if type(parts) is tuple else (parts,))):
        return True
    is_managed = hasattr(type(value), "__get__") and not isinstance(value, FunctionType)
    return not (name.startswith("__") or is_managed)


def is_compiled_from_file(module: ModuleType) -> bool:
    """Return whether a module's bytecode is that of its file.

    pytest, for example, rewrites the assertions of test modules.
    """
    loader = getattr(module, "__loader__", None)
    home = type(loader).__module__.partition(".")[0]
    return loader is None or home in sys.stdlib_module_names or home == "flowyml_aws"


def _header(cls: type) -> tuple[Any, ...]:
    names = [base.__qualname__ for base in cls.__mro__]
    return (cls.__qualname__, names, type(cls).__qualname__, _members(cls), declared_fields(cls))


def _members(cls: type) -> list[tuple[str, Any]]:
    """Return the members of an enum with their values; elsewhere, a member counts by its name."""
    if not isinstance(cls, EnumMeta):
        return []
    members: Mapping[str, Any] = cls.__members__
    return [(name, member.value) for name, member in members.items()]
