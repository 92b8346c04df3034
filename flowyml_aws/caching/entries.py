"""Cache entries: the outputs of steps in earlier runs, found by cache key."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Literal

from pydantic import Field

from flowyml_aws.artifacts.documents import Document, read_document
from flowyml_aws.artifacts.layout import CACHE, cache_entry_key
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.errors import ArtifactNotFoundError, DamagedArtifactError

__all__ = [
    "CacheEntry",
    "EntryListing",
    "is_stored",
    "keep_entry",
    "one_of_each_object",
    "python_version",
    "read_entry",
    "write_entry",
]

_DAY_S = 24 * 3600
_FEW_LOOKUPS = 20
_PAGE = 1000  # entries that one request lists


class CacheEntry(Document):
    """The outputs of a step that succeeded.

    Attributes:
        key: Cache key from `caching/cache_key.py`.
        run_id: Run that executed the step.
        created_at: Seconds since the epoch.
        used_at: Time of the last hit in seconds since the epoch, precise to a day; 0 if none.
        assets: Refs of the assets that were stored.
        changed: Digests of values of the program that were different in the step's job from those
            that the key covers, such as the device of `torch`, by name.
        machine: Kind of machine of that job; the entry serves only jobs for the same kind. None
            if nothing was different: the entry serves all jobs.
        python: Minor version of Python of that job, such as `3.12`, if an asset is pickled; the
            entry serves only jobs with it. A pickle may contain bytecode, which other versions
            can't run.
    """

    version: Literal[1] = 1
    key: str
    pipeline: str
    step: str
    run_id: str
    created_at: float
    used_at: float = 0.0
    assets: dict[str, ArtifactRef]
    changed: dict[str, str] = Field(default_factory=dict)
    machine: str | None = None
    python: str | None = None

    def of_item(self, names: Mapping[str, str]) -> CacheEntry:
        """Return the entry with the assets of an item of a map; others have the same names.

        Args:
            names: Assets of the item by the names of the assets in the entry.
        """
        if all(name == new for name, new in names.items()) and names.keys() >= self.assets.keys():
            return self
        assets = {new: self.assets[name] for name, new in names.items() if name in self.assets}
        return self.model_copy(update={"assets": assets})

    def serves(self, machine: str, python: str) -> bool:
        """Return whether the entry serves jobs that are planned for a kind of machine.

        Args:
            machine: Kind of machine.
            python: Minor version of Python of the jobs.
        """
        return self.machine in (None, machine) and self.python in (None, python)


class EntryListing:
    """A listing of the cache, so that most keys without an entry cost no request each.

    A small cache is listed whole, with a request per 1,000 entries. A large one is not: its keys
    are looked up one by one, after the first pages.
    """

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._listed: frozenset[str] | None = None
        self._is_complete = False

    def select(self, keys: Sequence[str]) -> Sequence[str]:
        """Return the keys that may have an entry, in the same order.

        Raises:
            AwsRefusedError: AWS denied the listing.
        """
        if self._listed is None:
            if len(keys) <= _FEW_LOOKUPS:
                return keys
            limit = _PAGE + 5 * len(keys)
            names = [entry.key for entry in islice(self._store.walk(CACHE), limit + 1)]
            self._listed = frozenset(names)
            self._is_complete = len(names) <= limit
        if not self._is_complete:
            return keys
        return [key for key in keys if cache_entry_key(key) in self._listed]


def python_version() -> str:
    """Return the minor version of this Python, such as `3.12`."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def read_entry(store: ArtifactStore, key: str) -> CacheEntry | None:
    """Return the entry of a key, or None. An unreadable entry is a miss and is written again.

    Raises:
        AwsRefusedError: AWS denied the call; a caller that can do without the entry has a miss.
    """
    document_key = cache_entry_key(key)
    try:
        entry = read_document(CacheEntry, store.get(document_key), f"{store.uri}/{document_key}")
    except (ArtifactNotFoundError, DamagedArtifactError):
        return None
    return entry if entry.key == key else None


def is_stored(store: ArtifactStore, ref: ArtifactRef) -> bool:
    """Return whether the object of a ref exists, and is not known to be damaged.

    All of its content is verified when it is loaded.
    """
    return store.holds(ref.key, ref.object_sha256, ref.object_bytes)


def one_of_each_object(refs: Iterable[ArtifactRef]) -> list[ArtifactRef]:
    """Return one ref for each object: the values of a pack are checked with one request."""
    objects = {(ref.key, ref.object_sha256, ref.object_bytes): ref for ref in refs}
    return list(objects.values())


def keep_entry(store: ArtifactStore, entry: CacheEntry, now: float) -> None:
    """Record that an entry was used, so that it is not deleted as too old."""
    if now - max(entry.created_at, entry.used_at) > _DAY_S:
        write_entry(store, entry.model_copy(update={"used_at": now}))


def write_entry(store: ArtifactStore, entry: CacheEntry) -> None:
    """Write an entry, replacing an older one with the same key."""
    store.put(cache_entry_key(entry.key), entry.to_json())
