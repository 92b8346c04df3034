"""Encoding of defaults, closures and constants as bytes that are equal in every process.

Objects are taken apart as by pickle, but code becomes a reference, sets are sorted, and addresses
and names of the user's modules are left out.
"""

from __future__ import annotations

import copyreg
import logging
import os
import pickle
import re
import sys
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import date, time
from enum import Enum
from functools import WRAPPER_ASSIGNMENTS, cached_property, partial, singledispatchmethod
from pathlib import PurePath
from types import (
    BuiltinFunctionType,
    CodeType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any
from uuid import UUID

from flowyml_aws.code.bytecode import bytecode_content
from flowyml_aws.code.ownership import (
    Code,
    external_name,
    is_decorated,
    is_dispatching,
    users_code,
)
from flowyml_aws.code.plain import plain
from flowyml_aws.core.step_objects import is_step, own_state, unwrap_step

__all__ = ["Encoder", "UsersEncoder"]

# Loggers and environment variables are not part of a step's computation.
_SURROUNDINGS = (logging.Logger, logging.LoggerAdapter, type(os.environ))
# Their content changes while they are used.
_WEAK = (weakref.WeakKeyDictionary, weakref.WeakValueDictionary, weakref.WeakSet)
_OF_PYTHON = sys.stdlib_module_names | {"builtins"}
_MOMENTS = (date, time, UUID)  # a datetime is a date
# Other owners of C methods have state that changes with use, such as random generators.
_CONTAINERS = (str, bytes, int, float, tuple, list, dict, set, frozenset, type)
_VIEWS: tuple[type, ...] = (
    *(type({}.keys()), type({}.values()), type({}.items())),
    *(type(OrderedDict().keys()), type(OrderedDict().values()), type(OrderedDict().items())),
)
# Their state, locked or not, does not exist in another process.
_LOCKS = (type(threading.Lock()), type(threading.RLock()))


class Encoder:
    """Encodes the values of one unit.

    Attributes:
        complete: Whether no value had to be identified by its type only (a lock, a connection).
        opaque: Types of the values whose content is unknown; a lock has none, and is not listed.
        packages: Qualified names of the code of packages in the values.
        has_moment: Whether a value contains a date, a time of day or a UUID.
    """

    def __init__(self, refer: Callable[[Code], bytes], folders: Sequence[str] = ()) -> None:
        """Create an encoder.

        Args:
            refer: Returns the bytes of a reference to the user's code.
            folders: Paths of one folder, which are equal to those of other encoders' folders.
        """
        self.complete = True
        self.opaque: list[str] = []
        self.packages: set[str] = set()
        self.has_moment = False
        self._refer = refer
        self._folders = folders
        self._seen: dict[int, int] = {}
        self._alive: list[object] = []

    def encode(self, value: Any) -> bytes:
        """Return the value as self-delimiting bytes."""
        try:
            return self._encode(value)
        except RecursionError:
            return self._unknown(value)

    def _encode(self, value: Any) -> bytes:
        if (encoded := plain(value)) is not None:
            if type(value) is str and any(folder in value for folder in self._folders):
                return self._in_folder(value)
            return encoded
        value = unwrap_step(value)
        if type(value) is tuple:
            return self._many(b"t", value)
        if (code := users_code(value)) is not None:
            return self._refer(code)
        name = external_name(value)
        if name is not None and not is_decorated(value):
            return self._named(b"x", name)
        if isinstance(value, Enum):
            return self._many(b"e", (type(value), value.name))
        if isinstance(value, PurePath):
            return self._many(b"p", (type(value), str(value)))
        if isinstance(value, _SURROUNDINGS):
            return self._by_type(value)
        if isinstance(value, _WEAK):
            return self._unknown(value)
        self.has_moment = self.has_moment or isinstance(value, _MOMENTS)
        # From here on, a value can contain itself.
        if (first := self._seen.get(id(value))) is not None:
            return b"@%d;" % first
        self._seen[id(value)] = len(self._seen)
        self._alive.append(value)  # so that its address is not reused
        if name is not None:
            return self._named(b"x", name) + self._decorator(value)
        return self._container(value)

    def _in_folder(self, value: str) -> bytes:
        folders = sorted(self._folders, key=len, reverse=True)  # one may contain another
        return self._many(b"f", re.split("|".join(map(re.escape, folders)), value))

    def _container(self, value: Any) -> bytes:
        if is_step(value):
            return self._many(b"s", (type(value), own_state(value)))
        if type(value) is list:
            return self._many(b"l", value)
        if type(value) is dict or isinstance(value, MappingProxyType):
            return self._pairs(value.items())
        if isinstance(value, set | frozenset):
            return self._many(b"S", (type(value), *sorted(value, key=self._sort_key)))
        if isinstance(value, MethodType):
            name = getattr(value, "__name__", None)
            return self._many(b"m", (name, value.__self__, value.__func__))
        if isinstance(value, BuiltinFunctionType):
            owner = value.__self__
            state = owner if isinstance(owner, _CONTAINERS) else None
            return self._many(b"m", (value.__name__, type(owner), state))
        if is_decorated(value):
            return self._many(b"w", (type(value), value.__wrapped__))
        if isinstance(value, singledispatchmethod):
            return self._many(b"w", (type(value), value.dispatcher))  # without its caches
        if (content := self._unpicklable(value)) is not None:
            return content
        has_own_parts = _is_users(value) or isinstance(value, partial)
        return self._object(value) if has_own_parts else self._whole(value)

    def _unpicklable(self, value: Any) -> bytes | None:
        """Encode a value that has content, but that pickle refuses; None for other values."""
        if type(value) in _VIEWS:
            return self._many(b"v", (type(value), *value))
        if isinstance(value, memoryview):
            try:
                return self._many(b"M", (value.format, value.shape, value.tobytes()))
            except ValueError:  # released
                return self._unknown(value)
        if isinstance(value, property):
            return self._many(b"w", (type(value), value.fget, value.fset, value.fdel))
        if isinstance(value, staticmethod | classmethod):
            return self._many(b"w", (type(value), value.__func__))
        if isinstance(value, cached_property):
            return self._many(b"w", (type(value), value.func, value.attrname))
        return bytecode_content(value) if isinstance(value, CodeType) else None

    def _whole(self, value: Any) -> bytes:
        """Encode an object of a package; if a part of it has no content, by its type only.

        The other parts of a connection change while it is used, too.
        """
        before, self.complete = self.complete, True
        opaque, seen = len(self.opaque), len(self._seen)
        content = self._object(value)
        if not self.complete:
            del self.opaque[opaque:]
            content = self._unknown(value)
            self._forget(seen)
        self.complete = self.complete and before
        return content

    def _forget(self, count: int) -> None:
        """Forget the objects that were encoded after the first ones."""
        while len(self._seen) > count:
            self._seen.popitem()

    def _object(self, value: Any) -> bytes:
        try:
            reducer = copyreg.dispatch_table.get(type(value))
            reduced = reducer(value) if reducer is not None else value.__reduce_ex__(4)
        except RecursionError:
            raise
        except Exception:  # objects that cannot be pickled raise any class
            return self._unknown(value)
        if isinstance(reduced, str):
            if not (_is_users(value) or _is_global(value, reduced)):
                return self._unknown(value)
            return self._by_type(value) + self._named(b"g", reduced)
        function, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        parts = [self._encode(function), self._encode(arguments), self._state(state)]
        parts += [self._many(b"l", items or ()), self._pairs(pairs or ())]
        if _is_users(value):
            parts += self._unpickled(value, state)
        return b"o(%b)" % b"".join(parts)

    def _unpickled(self, value: Any, state: Any) -> Iterator[bytes]:
        """Yield the attributes of a user's object that its own pickling leaves out.

        A class leaves out what it makes again when it is used, such as a lock or a connection.
        """
        pickled: dict[str, Any] = {}
        for part in state if type(state) is tuple else (state,):
            pickled.update(part if type(part) is dict else {})
        for name, attribute in sorted(_attributes_of(value).items()):
            if attribute is None or pickled.get(name, NotImplemented) is attribute:
                continue
            before, self.complete = self.complete, True
            seen = len(self._seen)
            content = self._many(b"u", (name, attribute))
            if self.complete:
                yield content
            else:
                self._forget(seen)
            self.complete = before

    def _state(self, state: Any) -> bytes:
        if type(state) is tuple and len(state) == 2 and type(state[1]) is dict:
            return b"(%b%b)" % (self._state(state[0]), self._state(state[1]))
        if type(state) is not dict or not all(isinstance(name, str) for name in state):
            return self._encode(state)
        # The order of attributes is irrelevant, and decorators copy function names to them.
        return self._pairs(sorted((n, state[n]) for n in state.keys() - set(WRAPPER_ASSIGNMENTS)))

    def _decorator(self, value: Any) -> bytes:
        """Encode the state of a decorator's wrapper, which includes the user's function."""
        if is_dispatching(value):
            return self._many(b"c", (dict(value.registry),))  # without its caches
        cells = [_content(cell) for cell in value.__closure__ or ()]
        return self._many(b"c", (tuple(cells), value.__defaults__, value.__kwdefaults__))

    def _many(self, tag: bytes, values: Iterable[Any]) -> bytes:
        parts = [self._encode(value) for value in values]
        return b"%b%d(%b)" % (tag, len(parts), b"".join(parts))

    def _pairs(self, pairs: Iterable[tuple[Any, Any]]) -> bytes:
        parts = [self._encode(part) for pair in pairs for part in pair]
        return b"d%d(%b)" % (len(parts), b"".join(parts))

    def _sort_key(self, value: Any) -> bytes:
        """Return the sort key of a set's item; code is sorted by name, as it is not read yet."""
        return Encoder(_name, self._folders)._encode(value)

    def _unknown(self, value: Any) -> bytes:
        """Encode the type of a value whose content can't be read."""
        self.complete = False
        kind = type(value)
        if not isinstance(value, _LOCKS):
            is_builtin = kind.__module__ == "builtins"
            self.opaque.append(
                kind.__qualname__ if is_builtin else f"{kind.__module__}.{kind.__qualname__}"
            )
        return self._by_type(value)

    def _by_type(self, value: Any) -> bytes:
        return b"y" + self._encode(type(value))

    def _named(self, tag: bytes, name: str) -> bytes:
        if tag == b"x":
            self.packages.add(name)
        return tag + (plain(name) or b"")


class UsersEncoder(Encoder):
    """Encodes the user's objects; those of packages count by their type only.

    The parts by which a package pickles an object can differ although the object is the same.
    """

    def _whole(self, value: Any) -> bytes:
        package = type(value).__module__.partition(".")[0]
        return super()._whole(value) if package in _OF_PYTHON else self._by_type(value)


def _attributes_of(value: object) -> dict[str, Any]:
    """Return the attributes that an object itself has, by name: those in its dict and slots."""
    attributes: dict[str, Any] = {}
    for cls in type(value).__mro__:
        for name, member in vars(cls).items():
            if isinstance(member, MemberDescriptorType) and users_code(cls) is not None:
                with suppress(AttributeError):
                    attributes.setdefault(name, member.__get__(value))
    with suppress(AttributeError):
        attributes.update(object.__getattribute__(value, "__dict__"))
    return attributes


def _is_users(value: object) -> bool:
    return users_code(type(value)) is not None


def _is_global(value: Any, name: str) -> bool:
    """Return whether a value is what pickle would find under this name, such as `numpy.add`."""
    if type(value).__module__ in sys.stdlib_module_names:
        return True  # a type variable is known by its name
    try:
        for home in (getattr(value, "__module__", None), type(value).__module__):
            if _attribute(home, name) is value:
                return True
        # The type stubs lack this function, which pickle itself uses.
        return _attribute(pickle.whichmodule(value, name), name) is value  # type: ignore[attr-defined]
    except Exception:  # modules that compute their attributes raise any class
        return False


def _attribute(module: object, name: str) -> Any:
    value: Any = sys.modules.get(module) if isinstance(module, str) else None
    for part in name.split("."):
        value = getattr(value, part, None)
    return value


def _name(code: Code) -> bytes:
    where = "" if isinstance(code, ModuleType) else code.__module__
    return b"r%b" % f"{getattr(code, '__qualname__', code.__name__)} {where};".encode()


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return NotImplemented  # not bound yet
