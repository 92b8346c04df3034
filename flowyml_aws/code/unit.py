"""A unit of the user's code, and its construction from content and references."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Protocol

from flowyml_aws.code.names import Import, References
from flowyml_aws.code.ownership import Code, users_code
from flowyml_aws.code.values import Encoder
from flowyml_aws.core.step_objects import unwrap_step

__all__ = ["Draft", "Key", "Namespace", "Resolver", "Unit"]

Key = tuple[str | int, ...]
"""Identifies a unit during the lifetime of its reader."""

_NO_PACKAGES: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Unit:
    """A function, class, constant or module.

    Attributes:
        label: Qualified name, not always unique.
        digest: SHA-256 of the content and of the names that it refers to.
        refers: Units that these names refer to, in an order that is the same in every process.
        opaque: Values whose content is unknown, so that the digest may miss a change.
        packages: Qualified names of the code of packages that it uses.
    """

    label: str
    digest: bytes
    refers: tuple[Key, ...]
    opaque: tuple[str, ...] = ()
    packages: frozenset[str] = frozenset()


@dataclass(slots=True)
class Namespace:
    """The names that code sees: the variables of its closure, then the globals of its module."""

    names: Mapping[str, Any]
    label: str
    closure: Mapping[str, Any] = field(default_factory=dict)
    owner: int = 0


class Resolver(Protocol):
    """Returns the units that names refer to."""

    def key_of_code(self, code: Code) -> Key:
        """Return the key of the user's code."""
        ...

    def look_up(self, chain: tuple[str, ...], namespace: Namespace) -> Key | str | None:
        """Resolve a name with its attributes; None for builtins and module metadata."""
        ...

    def imported(self, statement: Import, namespace: Namespace) -> Iterator[tuple[str, Key]]:
        """Yield the user's modules that an import statement names."""
        ...


class Draft:
    """A unit under construction."""

    def __init__(self, resolver: Resolver, label: str) -> None:
        self._resolver = resolver
        self._label = label
        self._contents: list[bytes] = []
        self._packages: set[str] = set()
        self.refers: list[tuple[str, Key | str]] = []
        self.opaque: list[str] = []
        self.reads_docs = False

    def add_code(self, content: bytes, references: References, namespace: Namespace) -> None:
        """Add code and its references."""
        self._contents.append(content)
        self.reads_docs = references.reads_docs
        self._add_chains(references.chains, namespace)
        if references.reads_docs:
            docs = [_docstring(chain, namespace) for chain in references.chains]
            self._contents.append(repr(docs).encode("utf-8", "surrogatepass"))
        for statement in references.imports:
            modules = list(self._resolver.imported(statement, namespace))
            self.refers += modules
            if not modules and not statement.level:
                self._packages.add(statement.module)
                self._packages.update(f"{statement.module}.{name}" for name in statement.names)

    def add_code_of(self, role: str, code: Code) -> None:
        """Add a reference to the user's code."""
        self.refers.append((role, self._resolver.key_of_code(code)))

    def add_names(self, names: Iterable[str], namespace: Namespace) -> None:
        """Add the values of global names."""
        self._add_chains([(name,) for name in names], namespace)

    def add_value(self, value: Any, role: str | None = None) -> bool:
        """Add a value; return False if a part of it could only be identified by its type.

        Args:
            value: The value.
            role: Role of the value, for messages; by default the label of the unit.
        """
        encoder = Encoder(self._refer)
        self._contents.append(encoder.encode(value))
        self._packages |= encoder.packages
        self.opaque += [f"{role or self._label} ({kind})" for kind in encoder.opaque]
        return encoder.complete

    def add_known(self, name: str, value: Any) -> None:
        """Add a value with its name, unless a part of it could only be identified by its type."""
        references, opaque = len(self.refers), len(self.opaque)
        if not self.add_value((name, value)):
            self._contents.pop()
            del self.refers[references:], self.opaque[opaque:]

    def _add_chains(self, chains: Iterable[tuple[str, ...]], namespace: Namespace) -> None:
        for chain in chains:
            target = self._resolver.look_up(chain, namespace)
            if target is not None:
                self.refers.append((".".join(chain), target))
                if isinstance(target, str):
                    self._packages.add(target)

    def finish(self) -> Unit:
        content = b"".join(b"%d:%b" % (len(part), part) for part in self._contents)
        names = [
            f"{name}={target if isinstance(target, str) else ''}" for name, target in self.refers
        ]
        digest = hashlib.sha256(content + "\n".join(names).encode("utf-8", "surrogatepass"))
        keys = tuple(target for _, target in self.refers if not isinstance(target, str))
        opaque = tuple(dict.fromkeys(self.opaque))
        packages = frozenset(self._packages) if self._packages else _NO_PACKAGES
        return Unit(self._label, digest.digest(), keys, opaque, packages)

    def _refer(self, code: Code) -> bytes:
        position = len(self.refers)
        self.refers.append((f"#{position}", self._resolver.key_of_code(code)))
        return b"r%d;" % position


def _docstring(chain: tuple[str, ...], namespace: Namespace) -> str | None:
    """Return the docstring of the object that a name with its attributes refers to."""
    root, *attributes = chain
    value = namespace.closure.get(root, namespace.names.get(root))
    for name in attributes:
        if isinstance(value, ModuleType) and name in vars(value):
            value = vars(value)[name]
    doc = getattr(unwrap_step(value), "__doc__", None)
    return doc if isinstance(doc, str) and users_code(value) is not None else None
