"""What earlier runs made, found again by the key of what it depends on."""

from __future__ import annotations

from typing import Literal

from flowyml_aws.artifacts.documents import Document, read_document
from flowyml_aws.artifacts.layout import artifact_key, cache_entry_key
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.errors import ArtifactNotFoundError, DamagedArtifactError

__all__ = ["CacheEntry", "is_stored", "keep_entry", "read_entry", "write_entry"]

_DAY_S = 24 * 3600


class CacheEntry(Document):
    """The outcome of a step that succeeded.

    Attributes:
        key: As `core/cache_key.py` makes it.
        run_id: Who made it.
        created_at: Seconds since the epoch.
        used_at: Likewise, when a run last took it, to the day; 0 if none has.
        assets: Those that were stored.
    """

    version: Literal[1] = 1
    key: str
    pipeline: str
    step: str
    run_id: str
    created_at: float
    used_at: float = 0.0
    assets: dict[str, ArtifactRef]


def read_entry(store: ArtifactStore, key: str) -> CacheEntry | None:
    """The entry of a key, or None. One that can't be read is none: it will be written anew."""
    place = cache_entry_key(key)
    try:
        entry = read_document(CacheEntry, store.get(place), f"{store.uri}/{place}")
    except (ArtifactNotFoundError, DamagedArtifactError):
        return None
    return entry if entry.key == key else None


def is_stored(store: ArtifactStore, ref: ArtifactRef) -> bool:
    """Whether something lies where the value should: loading it proves that it is the value."""
    try:
        store.read_into(artifact_key(ref.sha256), 0, memoryview(bytearray()))
    except ArtifactNotFoundError:
        return False
    return True


def keep_entry(store: ArtifactStore, entry: CacheEntry, now: float) -> None:
    """Note that an entry is used, so that it is not removed as too old."""
    if now - max(entry.created_at, entry.used_at) > _DAY_S:
        write_entry(store, entry.model_copy(update={"used_at": now}))


def write_entry(store: ArtifactStore, entry: CacheEntry) -> None:
    """Write an entry, over an older one with the same key."""
    store.put(cache_entry_key(entry.key), entry.to_json())
