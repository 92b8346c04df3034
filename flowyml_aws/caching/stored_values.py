"""Existence of the values that cache entries refer to, with few requests."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from flowyml_aws.artifacts.layout import ARTIFACTS
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import ArtifactStore, ObjectEntry
from flowyml_aws.caching.entries import CacheEntry

__all__ = ["StoredValues"]

_FEW_LOOKUPS = 20
_PAGE = 1000  # objects that one request lists


class StoredValues:
    """A listing of values, so that most of them cost no request each.

    An object is proven by the listing if it has the right size, and if it has not been written
    since the job that wrote the cache entry stored it: the store has verified its digest then. All
    others must be checked one by one: those of a large store, after its first pages, and those that
    were written later.
    """

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._listed: dict[str, ObjectEntry] | None = None
        self._stored_at: dict[str, float] = {}

    def add(self, entry: CacheEntry) -> None:
        """Note that the values of an entry were stored when it was written."""
        for ref in entry.assets.values():
            key = ref.key
            self._stored_at[key] = max(self._stored_at.get(key, 0.0), entry.created_at)

    def unproven(self, refs: Sequence[ArtifactRef]) -> list[ArtifactRef]:
        """Return the refs whose objects must be checked one by one, in the same order.

        Raises:
            AwsRefusedError: AWS denied the listing.
        """
        if self._listed is None:
            if len(refs) <= _FEW_LOOKUPS:
                return list(refs)
            listed = islice(self._store.walk(ARTIFACTS), _PAGE + 5 * len(refs))
            self._listed = {entry.key: entry for entry in listed}
        return [ref for ref in refs if not self._proves(ref, self._listed)]

    def _proves(self, ref: ArtifactRef, listed: dict[str, ObjectEntry]) -> bool:
        key = ref.key
        entry, stored_at = listed.get(key), self._stored_at.get(key)
        if entry is None or stored_at is None:
            return False
        return entry.size_bytes == ref.object_bytes and entry.modified_at <= stored_at
