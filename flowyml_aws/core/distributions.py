"""Versions of the installed packages that code uses, for cache keys.

A name such as `pandas.core.frame.DataFrame` is mapped to the distributions that own it by their
metadata. All metadata is read, once in a process, only if a distribution does not have the name of
its package (`yaml` of PyYAML). Editable installs are the user's code, which counts by its content.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from importlib import metadata

__all__ = ["CACHE_VERSIONS", "Difference", "VersionReader", "VersionRule", "normalized"]

VersionRule = Literal["none", "direct", "all"]
CACHE_VERSIONS: tuple[VersionRule, ...] = ("none", "direct", "all")
"""Values of the setting `cache_versions`."""

_SELF = __name__.partition(".")[0]


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """A distribution of which another version is installed than the project requires."""

    name: str
    installed: str
    pinned: str


@dataclass(frozen=True, slots=True)
class VersionReader:
    """Returns the versions that count in the keys of steps at one place.

    Attributes:
        rule: `none`, `direct` for the distributions whose code is used, or `all` for those that
            they require in turn, too.
        pinned: Versions that the project requires, by normalized name.
        is_here: Whether the steps run with the packages of this process, which then take
            precedence.
    """

    rule: VersionRule = "direct"
    pinned: Mapping[str, str] = field(default_factory=dict)
    is_here: bool = True

    def read(self, names: Iterable[str]) -> dict[str, str]:
        """Return the version of each distribution that counts, by its normalized name.

        Args:
            names: Qualified names of code of packages.
        """
        if self.rule == "none":
            return {}
        found = {owner for name in names for owner in self._owners(name)}
        if self.rule == "all":
            found = set(_with_requirements(found))
        return {name: version for name in sorted(found) if (version := self._version(name))}

    def differences(self, names: Iterable[str]) -> tuple[Difference, ...]:
        """Return the distributions of which this process and the project have two versions."""
        pairs = ((name, _installed(name), self.pinned.get(name)) for name in sorted(names))
        return tuple(
            Difference(name, installed, pinned)
            for name, installed, pinned in pairs
            if installed and pinned and installed not in pinned.split(" or ")
        )

    def _owners(self, name: str) -> Iterable[str]:
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or top == _SELF:
            return ()
        if owners := _owners_of(name if _is_shared(top) else top):
            return owners
        # A package that only jobs have.
        return (normalized(top),) if normalized(top) in self.pinned else ()

    def _version(self, name: str) -> str | None:
        installed, pinned = _installed(name), self.pinned.get(name)
        return (installed or pinned) if self.is_here else (pinned or installed)


def normalized(name: str) -> str:
    """Return the name of a distribution or dependency group in the form that PEP 503 compares."""
    return re.sub(r"[-_.]+", "-", name).lower()


@lru_cache(maxsize=4096)
def _owners_of(name: str) -> tuple[str, ...]:
    """Return the distributions that contain a module, or the definition of a name in it."""
    parts = name.split(".")
    owners = _owners_of_top(parts[0])
    for end in range(len(parts), 1, -1) if len(owners) > 1 else ():
        prefix = "/".join(parts[:end])
        nearest = tuple(owner for owner in owners if _contains(owner, prefix))
        if nearest:
            return nearest
    return owners


def _is_shared(top: str) -> bool:
    """Return whether several distributions share a top-level name: `google`, `azure`."""
    return len(_owners_of_top(top)) > 1


@lru_cache(maxsize=1024)
def _owners_of_top(top: str) -> tuple[str, ...]:
    name = normalized(top)
    record = _record(name)
    if f"\n{top}/__init__." in record or re.search(rf"\n{re.escape(top)}(\.[^/,]*)?,", record):
        return (name,)
    return _index().get(top, ())


def _contains(name: str, prefix: str) -> bool:
    record = _record(name)
    return f"\n{prefix}/" in record or f"\n{prefix}." in record


@lru_cache(maxsize=1)
def _index() -> Mapping[str, tuple[str, ...]]:
    """Return the distributions that own each top-level name, from the metadata of all."""
    from importlib import metadata  # not needed by runs whose code uses no packages

    index: dict[str, dict[str, None]] = {}
    for distribution in metadata.distributions():
        # The type stubs omit that a damaged installation has no name.
        name: str | None = distribution.metadata["Name"]
        for top in _top_names(distribution) if name else ():
            index.setdefault(top, {})[normalized(str(name))] = None
    return {top: tuple(sorted(names)) for top, names in index.items()}


def _top_names(distribution: metadata.Distribution) -> set[str]:
    if listed := distribution.read_text("top_level.txt"):
        return set(listed.split())
    record = distribution.read_text("RECORD") or ""
    firsts = {line.partition(",")[0].partition("/")[0] for line in record.splitlines()}
    return {first.partition(".")[0] for first in firsts if not first.endswith(".dist-info")}


@lru_cache(maxsize=1024)
def _distribution(name: str) -> metadata.Distribution | None:
    from importlib import metadata

    try:
        return metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):
        return None


@lru_cache(maxsize=1024)
def _record(name: str) -> str:
    """Return the list of the distribution's files; empty if it is not installed or has none."""
    distribution = _distribution(name)
    return "" if distribution is None else f"\n{distribution.read_text('RECORD') or ''}"


@lru_cache(maxsize=1024)
def _installed(name: str) -> str | None:
    distribution = _distribution(name)
    # The type stubs omit that a damaged installation has no version.
    version: str | None = None if distribution is None else distribution.version
    return version


def _with_requirements(names: Iterable[str]) -> Iterator[str]:
    """Yield distributions, and the installed ones that they require in turn."""
    waiting, seen = list(names), set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        yield name
        waiting += _requirements(name)


@lru_cache(maxsize=1024)
def _requirements(name: str) -> tuple[str, ...]:
    distribution = _distribution(name)
    lines = (distribution.requires if distribution is not None else None) or ()
    # Markers other than extras decide whether a requirement is installed, which is looked up.
    required = (re.match(r"[\w.-]+", line) for line in lines if "extra ==" not in line)
    found = (normalized(match.group()) for match in required if match)
    return tuple(other for other in found if _installed(other) is not None)
