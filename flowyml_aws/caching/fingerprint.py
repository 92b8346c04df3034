"""Fingerprints of steps: digests that change when a step's code or the code it uses changes.

A fingerprint covers the function and the condition of a step, their defaults and closures, and
the user's functions, classes and constants that they refer to, directly or indirectly. It ignores
comments, docstrings, layout, file names and paths, and the arguments of `@step`.

Code of installed packages is represented by its name. A module that is imported inside a function
or used as a value is covered as a whole, including the user's modules that it imports.
docs/caching.md lists the kinds of changes that are noticed, and those that are not.

A value whose content is unknown, such as a generator or a connection, is counted by its type, and
reported as opaque: a key with it must not be compared. A global is then identified by the
statements that define it, and is not opaque.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from flowyml_aws.code.unit import Key
from flowyml_aws.code.units import UnitReader
from flowyml_aws.core.step import Step

__all__ = ["Fingerprint", "Fingerprinter", "fingerprint", "parts"]

_VERSION = b"flowyml-aws fingerprint 2"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Digest of a step's code, or of a value with the user's code in it.

    Attributes:
        digest: SHA-256, as hex.
        opaque: Values whose content is unknown, so that the digest may miss a change.
        packages: Qualified names of the code of packages that is used.
    """

    digest: str
    opaque: tuple[str, ...]
    packages: frozenset[str]


def fingerprint(step: Step) -> str:
    """Return the SHA-256 of the step's code, as hex.

    It is equal in all processes and minor versions of Python. Code without source text (typed at
    a prompt, created by `exec`) is identified by its bytecode, which differs between minor
    versions.
    """
    return Fingerprinter().fingerprint(step)


def parts(step: Step) -> Mapping[str, str]:
    """Return the SHA-256 of each function, class, constant and module, by qualified name."""
    return Fingerprinter().parts(step)


class Fingerprinter:
    """Computes fingerprints of many steps at one moment; reads shared code once.

    Args:
        carried: Names of globals whose values the user carries to the jobs.
        evaluated: Names of globals that each job evaluates again.
    """

    def __init__(self, carried: Collection[str] = (), evaluated: Collection[str] = ()) -> None:
        self._reader = UnitReader(carried, evaluated)
        self._of_roots: dict[tuple[tuple[str, Key | str], ...], Fingerprint] = {}
        self._parts_of_roots: dict[tuple[tuple[str, Key | str], ...], Mapping[str, str]] = {}

    def fingerprint(self, step: Step) -> str:
        """Same as the function `fingerprint`."""
        return self.read(step).digest

    def read(self, step: Step) -> Fingerprint:
        """Return the fingerprint of a step's code."""
        roots = self._roots(step)
        key = tuple(roots.items())
        if key not in self._of_roots:
            self._of_roots[key] = self._read(roots)
        return self._of_roots[key]

    def read_value(self, value: Any, label: str) -> Fingerprint:
        """Return the fingerprint of a value with the user's code in it."""
        return self._read({"value": self._reader.key_of(value, label)})

    def _read(self, roots: Mapping[str, Key | str]) -> Fingerprint:
        numbers = self._numbered(roots)
        digest = hashlib.sha256(_VERSION)
        packages = {target for target in roots.values() if isinstance(target, str)}
        opaque: list[str] = []
        for role, target in roots.items():
            named = target if isinstance(target, str) else f"#{numbers[target]}"
            digest.update(f"{role}={named}\n".encode())
        for key in numbers:
            unit = self._reader.unit(key)
            digest.update(unit.digest + b"".join(b"%d," % numbers[to] for to in unit.refers))
            packages |= unit.packages
            opaque += unit.opaque
        return Fingerprint(digest.hexdigest(), tuple(dict.fromkeys(opaque)), frozenset(packages))

    def parts(self, step: Step) -> Mapping[str, str]:
        """Same as the function `parts`."""
        roots = self._roots(step)
        key = tuple(roots.items())
        if key not in self._parts_of_roots:
            self._parts_of_roots[key] = self._parts(roots)
        return self._parts_of_roots[key]

    def _parts(self, roots: Mapping[str, Key | str]) -> Mapping[str, str]:
        labels: dict[Key, str] = {}
        seen: Counter[str] = Counter()
        numbers = self._numbered(roots)
        for key in numbers:
            label = self._reader.unit(key).label
            seen[label] += 1
            labels[key] = label if seen[label] == 1 else f"{label}#{seen[label]}"
        digests = {}
        for key in numbers:
            unit = self._reader.unit(key)
            named = "\n".join(labels[to] for to in unit.refers)
            digests[labels[key]] = hashlib.sha256(unit.digest + named.encode()).hexdigest()
        return dict(sorted(digests.items()))

    def _roots(self, step: Step) -> dict[str, Key | str]:
        roots = {"function": self._reader.key_of(step.func, _label(step.func, step))}
        if step.condition is not None:
            condition = _label(step.condition, step, "condition")
            roots["condition"] = self._reader.key_of(step.condition, condition)
        return roots

    def _numbered(self, roots: Mapping[str, Key | str]) -> dict[Key, int]:
        """Number the reachable units in order of discovery, independent of module names."""
        waiting = [target for target in roots.values() if not isinstance(target, str)]
        numbers: dict[Key, int] = {}
        for key in waiting:  # grows during the loop
            if key not in numbers:
                numbers[key] = len(numbers)
                waiting += self._reader.unit(key).refers
        return numbers


def _label(function: Any, step: Step, role: str = "function") -> str:
    """Return the function's qualified name, or its role if it has none (a partial, an object)."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    return f"{module}.{name}" if module and name else f"{role} of {step.name}"
