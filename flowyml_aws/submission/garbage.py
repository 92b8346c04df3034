"""Garbage collection: old runs, old cache entries, and contents without references.

Runs may start and jobs may write during a collection. Everything that they use must be kept, so

- a content is deleted only if it is not fresh and nothing refers to it. Storing a content that
  already exists makes it fresh, or writes a fresh marker of its use (`ArtifactStore.upload`);
- a run may have read a cache entry before it was deleted, without having recorded yet that it
  uses the values. So entries and runs are deleted first, and references are read some time later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from flowyml_aws.artifacts.documents import Document, read_document
from flowyml_aws.artifacts.layout import (
    CACHE,
    CONTENTS,
    EVENTS,
    HISTORY,
    LAYERS,
    RESULT,
    RUNS,
    USES,
    RunLayout,
    used_key,
)
from flowyml_aws.artifacts.list_index import LIST_INDEX, with_items
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import FRESH_S, ArtifactStore, ObjectEntry
from flowyml_aws.caching.entries import CacheEntry
from flowyml_aws.core.concurrency import STORE_REQUESTS, map_concurrently
from flowyml_aws.core.errors import ArtifactNotFoundError, DamagedArtifactError, FlowymlError
from flowyml_aws.planning.stored_plan import StoredPlan
from flowyml_aws.runtime.layer import StoredLayer
from flowyml_aws.runtime.result import AttemptEvents, JobResult
from flowyml_aws.runtime.spec import JobSpec, SpecPack
from flowyml_aws.submission.history import MAX_TIMES

__all__ = ["SETTLE_S", "Garbage", "collect", "find_garbage"]

SETTLE_S = 60.0
"""Maximum seconds between a run's cache lookup and its plan in the store."""

_MIN_AGE_S = 2 * FRESH_S


@dataclass(frozen=True, slots=True)
class Garbage:
    """Objects that can be deleted, and old runs that are kept.

    Attributes:
        runs: Objects of runs; each run's record precedes its other objects.
        entries: Cache entries, installed requirements, and times of old runs.
        contents: Values, pickled steps and bundles.
        unended: Old runs without a recorded end.
        unfinished: Number of aborted writes that were cleaned up.
    """

    runs: tuple[ObjectEntry, ...] = ()
    entries: tuple[ObjectEntry, ...] = ()
    contents: tuple[ObjectEntry, ...] = ()
    unended: tuple[str, ...] = ()
    unfinished: int = 0

    @property
    def run_ids(self) -> list[str]:
        return sorted({_run_of(entry.key) for entry in self.runs})


def find_garbage(
    objects: Collection[ObjectEntry], referenced: Collection[str], older_than_s: float, now: float
) -> Garbage:
    """Return the objects of a store that can be deleted.

    Args:
        objects: All objects of the store.
        referenced: Keys of contents that documents refer to.
        older_than_s: Minimum seconds since the last write to a run, and since a cache entry was
            written or used. Everything except ended runs is kept for at least two days.
        now: Seconds since the epoch.
    """
    run_cutoff, cutoff = now - older_than_s, now - max(older_than_s, _MIN_AGE_S)
    runs: dict[str, list[ObjectEntry]] = {}
    markers = (entry for entry in objects if entry.key.startswith(USES))
    kept = {*referenced, *(used_key(m.key) for m in markers if m.modified_at >= cutoff)}
    entries: list[ObjectEntry] = []
    contents: list[ObjectEntry] = []
    times: dict[str, list[ObjectEntry]] = {}
    for entry in objects:
        if entry.key.startswith(RUNS):
            runs.setdefault(_run_of(entry.key), []).append(entry)
        elif entry.key.startswith(HISTORY):
            times.setdefault(entry.key.rpartition("/")[0], []).append(entry)
        elif entry.modified_at < cutoff:
            if entry.key.startswith((CACHE, LAYERS)):
                entries.append(entry)
            elif entry.key.startswith(CONTENTS) and entry.key not in kept:
                contents.append(entry)
    for group in times.values():
        group.sort(key=lambda entry: -entry.modified_at)
        entries += (entry for entry in group[MAX_TIMES:] if entry.modified_at < cutoff)
    run_objects: list[ObjectEntry] = []
    unended: list[str] = []
    for run_id, group in runs.items():
        layout, keys = RunLayout(run_id), {entry.key for entry in group}
        if layout.schedule in keys:
            continue  # until the schedule is deleted
        has_record = layout.run in keys
        if max(entry.modified_at for entry in group) >= (run_cutoff if has_record else cutoff):
            continue
        if has_record and layout.outcome not in keys:
            unended.append(run_id)
        else:
            run_objects += sorted(group, key=lambda entry: entry.key != layout.run)
    return Garbage(tuple(run_objects), tuple(entries), tuple(contents), tuple(sorted(unended)))


def collect(
    store: ArtifactStore,
    older_than_s: float,
    now: Callable[[], float],
    sleep: Callable[[float], None],
    dry_run: bool,
) -> Garbage:
    """Delete the garbage of a store, and return it.

    Args:
        store: Store whose objects are all listed.
        older_than_s: Same as in `find_garbage`.
        now: Clock that returns seconds since the epoch.
        sleep: Waits until starting runs have recorded the values that they use.
        dry_run: Whether to only return the garbage, without deleting it.

    Raises:
        DamagedArtifactError: A document that is kept can't be read, so its references are
            unknown. No contents were deleted.
    """
    objects = list(store.walk(""))
    first = find_garbage(objects, (), older_than_s, now())
    old = {entry.key for entry in (*first.runs, *first.entries)}
    if not dry_run:
        # Records first: without one there is no run, and a later call deletes what is left.
        store.delete([entry.key for entry in (*first.runs, *first.entries)])
        if old:
            sleep(SETTLE_S)
        objects = list(store.walk(""))
    referenced = _referenced_keys(store, [entry.key for entry in objects if entry.key not in old])
    # Listed again: contents that became fresh in the meantime are kept.
    listed = [entry for prefix in (*CONTENTS, USES) for entry in store.walk(prefix)]
    contents = find_garbage(listed, referenced, older_than_s, now()).contents
    unfinished = 0
    if not dry_run:
        store.delete([entry.key for entry in contents])
        store.delete(_old_markers(listed, contents, now() - _MIN_AGE_S))
        unfinished = store.clear_unfinished(now() - _MIN_AGE_S)
    return Garbage(first.runs, first.entries, contents, first.unended, unfinished)


def _old_markers(
    listed: Sequence[ObjectEntry], deleted: Sequence[ObjectEntry], cutoff: float
) -> list[str]:
    """Return the keys of old markers whose contents do not exist any more.

    The others stay: a job may be about to write the marker of a content again.
    """
    contents = {entry.key for entry in listed} - {entry.key for entry in deleted}
    return [
        entry.key
        for entry in listed
        if entry.key.startswith(USES)
        and entry.modified_at < cutoff
        and used_key(entry.key) not in contents
    ]


def _referenced_keys(store: ArtifactStore, keys: Sequence[str]) -> set[str]:
    """Return the keys of the contents that documents refer to, and those of lists' items."""
    found = map_concurrently(lambda key: _references(store, key), keys, limit=STORE_REQUESTS)
    lists = {ref.identity: ref for each in found for ref in each.lists}
    items = map_concurrently(
        lambda ref: _items_of(store, ref), list(lists.values()), limit=STORE_REQUESTS
    )
    return set().union(*(each.keys for each in found), *items)


def _items_of(store: ArtifactStore, ref: ArtifactRef) -> set[str]:
    """Return the keys of the items of a list that are stored one by one."""
    try:
        return {each.key for each in with_items(store, ref)}
    except ArtifactNotFoundError:
        return set()  # deleted in the meantime, or before
    except DamagedArtifactError as error:
        raise _unknown_references(error) from error


@dataclass(frozen=True, slots=True)
class _References:
    """The contents that a document refers to.

    Attributes:
        keys: Their keys.
        lists: Refs of those that are indexes of lists, and refer to the items themselves.
    """

    keys: frozenset[str] = frozenset()
    lists: tuple[ArtifactRef, ...] = ()


def _references(store: ArtifactStore, key: str) -> _References:
    document_type = _document_type(key)
    if document_type is None:
        return _References()
    try:
        document = read_document(document_type, store.get(key), f"{store.uri}/{key}")
    except ArtifactNotFoundError:
        return _References()  # deleted in the meantime
    except DamagedArtifactError as error:
        raise _unknown_references(error) from error
    refs = list(_refs(document))
    keys = {ref.key for ref in refs}
    for spec in _specs(document):
        keys.update((spec.payload.key, spec.code.bundle.key))
        keys.update(value.key for value in spec.large_values)
    lists = tuple(ref for ref in refs if ref.codec == LIST_INDEX)
    return _References(frozenset(keys), lists)


def _unknown_references(error: FlowymlError) -> DamagedArtifactError:
    return DamagedArtifactError(
        what=f"Garbage collection failed: {error.what}",
        why=f"the objects that it refers to must be kept, and are unknown ({error.why})",
        fix="delete the object, or use the version of flowyml-aws that wrote it",
    )


def _document_type(key: str) -> type[Document] | None:
    """Return the type of the document under a key, or None if it has no references."""
    if key.startswith(CACHE):
        return CacheEntry
    if key.startswith(LAYERS):
        return StoredLayer
    if not key.startswith(RUNS):
        return None
    if key.split("/")[2] == "specs":
        return SpecPack
    kinds: dict[str, type[Document]] = {
        "plan.json": StoredPlan,
        "spec.json": JobSpec,  # of runs of earlier versions
        RESULT: JobResult,
        EVENTS: AttemptEvents,
    }
    return kinds.get(key.rpartition("/")[2])


def _refs(document: Document) -> Iterable[ArtifactRef]:
    if isinstance(document, StoredPlan):
        return (ref for step in document.plan.reused.values() for ref in step.assets.values())
    if isinstance(document, JobSpec | SpecPack):
        specs = list(_specs(document))
        sources = (source.ref for spec in specs for source in spec.assets.values())
        layers = (spec.layer for spec in specs if spec.layer is not None)
        stored = (ref for layer in layers for ref in layer.stored.values())
        return chain((ref for ref in sources if ref is not None), stored)
    if isinstance(document, StoredLayer):
        return (document.folder,)
    assert isinstance(document, JobResult | AttemptEvents | CacheEntry)
    return document.assets.values()


def _specs(document: Document) -> tuple[JobSpec, ...]:
    if isinstance(document, SpecPack):
        return document.specs
    return (document,) if isinstance(document, JobSpec) else ()


def _run_of(key: str) -> str:
    return key.removeprefix(RUNS).partition("/")[0]
