"""Whether a step still does the same: a digest of its code and of all the user's code behind it.

It covers the function and the condition of a step, their defaults and closures, and the user's
functions, classes and constants that they refer to, however far. Comments, docstrings, layout,
places and names of files and the arguments of `@step` are no part of it.

Code of installed packages is known by its name. A module that is imported inside a function, or
used as a value, counts as a whole, and so do the user's modules that it imports. What code finds
at run time only (`importlib`, `getattr` on a module's name, files, the environment) is not seen.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

from flowyml_aws.core.code.units import Key, UnitReader
from flowyml_aws.core.step import Step

__all__ = ["Fingerprinter", "fingerprint", "parts"]

_VERSION = b"flowyml-aws fingerprint 1"


def fingerprint(step: Step) -> str:
    """SHA-256 of the step's code, as hex; equal in every process and minor version of Python.

    Code whose text is gone (typed at a prompt, made by `exec`) is told by its bytecode, which
    minor versions do not share.
    """
    return Fingerprinter().fingerprint(step)


def parts(step: Step) -> Mapping[str, str]:
    """Qualified name of each function, class, constant and module in it → its own SHA-256."""
    return Fingerprinter().parts(step)


class Fingerprinter:
    """Fingerprints of many steps at one moment: code that they share is read once."""

    def __init__(self) -> None:
        self._reader = UnitReader()

    def fingerprint(self, step: Step) -> str:
        """As the function `fingerprint`."""
        return self._digest(self._roots(step))

    def digest_of(self, value: Any, label: str) -> str:
        """SHA-256 of a value, as hex: with the user's code in it, and equal in every process."""
        return self._digest({"value": self._reader.key_of(value, label)})

    def _digest(self, roots: Mapping[str, Key | str]) -> str:
        numbers = self._numbered(roots)
        digest = hashlib.sha256(_VERSION)
        for role, target in roots.items():
            named = target if isinstance(target, str) else f"#{numbers[target]}"
            digest.update(f"{role}={named}\n".encode())
        for key in numbers:
            unit = self._reader.unit(key)
            digest.update(unit.digest + b"".join(b"%d," % numbers[to] for to in unit.refers))
        return digest.hexdigest()

    def parts(self, step: Step) -> Mapping[str, str]:
        """As the function `parts`."""
        labels: dict[Key, str] = {}
        seen: Counter[str] = Counter()
        numbers = self._numbered(self._roots(step))
        for key in numbers:
            label = self._reader.unit(key).label
            seen[label] += 1
            labels[key] = label if seen[label] == 1 else f"{label}#{seen[label]}"
        found = {}
        for key in numbers:
            unit = self._reader.unit(key)
            named = "\n".join(labels[to] for to in unit.refers)
            found[labels[key]] = hashlib.sha256(unit.digest + named.encode()).hexdigest()
        return dict(sorted(found.items()))

    def _roots(self, step: Step) -> dict[str, Key | str]:
        roots = {"function": self._reader.key_of(step.func, _label(step.func, step))}
        if step.condition is not None:
            condition = _label(step.condition, step, "condition")
            roots["condition"] = self._reader.key_of(step.condition, condition)
        return roots

    def _numbered(self, roots: Mapping[str, Key | str]) -> dict[Key, int]:
        """Units that can be reached, numbered as they are met: so names of modules do not count."""
        waiting = [target for target in roots.values() if not isinstance(target, str)]
        numbers: dict[Key, int] = {}
        for key in waiting:  # grows
            if key not in numbers:
                numbers[key] = len(numbers)
                waiting += self._reader.unit(key).refers
        return numbers


def _label(function: Any, step: Step, role: str = "function") -> str:
    """What a function is called that is no plain function: a method, a partial, an object."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    return f"{module}.{name}" if module and name else f"{role} of {step.name}"
