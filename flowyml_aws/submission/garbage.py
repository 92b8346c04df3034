"""What of a store can go: old runs, old cache entries, and contents that nothing refers to.

While garbage is collected runs may start and jobs may write. What they take must stay, so

- a content goes only if it is not fresh and nothing refers to it. Who stores a content that lies
  there already makes it fresh (`ArtifactStore.upload`);
- a run may have found a cache entry before it was removed, and may not have written yet that it
  takes the values: so entries and runs go first, and what is referred to is read some time later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from flowyml_aws.artifacts.cache import CacheEntry
from flowyml_aws.artifacts.documents import Document, read_document
from flowyml_aws.artifacts.layout import (
    CACHE,
    CONTENTS,
    HISTORY,
    LAYERS,
    RUNS,
    RunLayout,
    artifact_key,
)
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import FRESH_S, ArtifactStore, ObjectEntry
from flowyml_aws.core.errors import ArtifactNotFoundError, DamagedArtifactError
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.runtime.layer import StoredLayer
from flowyml_aws.runtime.result import AttemptEvents, JobResult
from flowyml_aws.runtime.spec import JobSpec
from flowyml_aws.submission.history import MOST_TIMES

__all__ = ["SETTLE_S", "Garbage", "collect", "find_garbage"]

SETTLE_S = 60.0
"""Seconds between a run's look at the cache and its word in the store, at most."""

_READERS = 32  # small objects: the time is latency, not bandwidth
_KEPT_S = 2 * FRESH_S


@dataclass(frozen=True, slots=True)
class Garbage:
    """What can go, and what is left although it is old.

    Attributes:
        runs: Objects of runs, those that make them runs first.
        entries: Of the cache, installed requirements, and times of old runs.
        contents: Values, pickled steps and bundles.
        unended: Old runs that nobody has seen to end.
        unfinished: How many writes were cleared that nobody finished.
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
    objects: Collection[ObjectEntry], referred: Collection[str], older_than_s: float, now: float
) -> Garbage:
    """What of a store's objects can go.

    Args:
        objects: All of the store's.
        referred: Keys of contents that documents refer to.
        older_than_s: Runs go of which nothing was written in that time, and cache entries that
            were neither written nor used. All but ended runs stays for two days in any case.
        now: Seconds since the epoch.
    """
    cutoff, kept = now - older_than_s, now - max(older_than_s, _KEPT_S)
    runs: dict[str, list[ObjectEntry]] = {}
    entries: list[ObjectEntry] = []
    contents: list[ObjectEntry] = []
    times: dict[str, list[ObjectEntry]] = {}
    for entry in objects:
        if entry.key.startswith(RUNS):
            runs.setdefault(_run_of(entry.key), []).append(entry)
        elif entry.key.startswith(HISTORY):
            times.setdefault(entry.key.rpartition("/")[0], []).append(entry)
        elif entry.modified_at < kept:
            if entry.key.startswith((CACHE, LAYERS)):
                entries.append(entry)
            elif entry.key.startswith(CONTENTS) and entry.key not in referred:
                contents.append(entry)
    for of in times.values():
        of.sort(key=lambda entry: -entry.modified_at)
        entries += (entry for entry in of[MOST_TIMES:] if entry.modified_at < kept)
    gone: list[ObjectEntry] = []
    unended: list[str] = []
    for run_id, of in runs.items():
        layout, keys = RunLayout(run_id), {entry.key for entry in of}
        is_written = layout.run in keys
        if max(entry.modified_at for entry in of) >= (cutoff if is_written else kept):
            continue
        if is_written and layout.outcome not in keys:
            unended.append(run_id)
        else:
            gone += sorted(of, key=lambda entry: entry.key != layout.run)
    return Garbage(tuple(gone), tuple(entries), tuple(contents), tuple(sorted(unended)))


def collect(
    store: ArtifactStore,
    older_than_s: float,
    now: Callable[[], float],
    sleep: Callable[[float], None],
    dry_run: bool,
) -> Garbage:
    """Remove what can go; what went, or would.

    Args:
        store: Its objects are listed whole.
        older_than_s: As in `find_garbage`.
        now: Tells seconds since the epoch.
        sleep: Waits until what runs have taken can be seen.
        dry_run: Only tell.

    Raises:
        DamagedArtifactError: A document that is kept can't be read, so what it refers to is not
            known. No contents were removed.
    """
    objects = list(store.walk(""))
    first = find_garbage(objects, (), older_than_s, now())
    old = {entry.key for entry in (*first.runs, *first.entries)}
    if not dry_run:
        # Document by document: a run is none from the first on, and goes on being removed later.
        store.delete([entry.key for entry in (*first.runs, *first.entries)])
        if old:
            sleep(SETTLE_S)
        objects = list(store.walk(""))
    referred = _referred(store, [entry.key for entry in objects if entry.key not in old])
    # Listed anew: what somebody has made fresh meanwhile stays.
    listed = [entry for prefix in CONTENTS for entry in store.walk(prefix)]
    contents = find_garbage(listed, referred, older_than_s, now()).contents
    unfinished = 0
    if not dry_run:
        store.delete([entry.key for entry in contents])
        unfinished = store.clear_unfinished(now() - _KEPT_S)
    return Garbage(first.runs, first.entries, contents, first.unended, unfinished)


def _referred(store: ArtifactStore, keys: Sequence[str]) -> set[str]:
    """Keys of the contents that documents refer to."""
    with ThreadPoolExecutor(_READERS) as pool:
        found = pool.map(lambda key: set(_referred_by(store, key)), keys)
        return set().union(*found)


def _referred_by(store: ArtifactStore, key: str) -> Iterator[str]:
    kind = _kind(key)
    if kind is None:
        return
    try:
        document = read_document(kind, store.get(key), f"{store.uri}/{key}")
    except ArtifactNotFoundError:
        return  # removed meanwhile
    except DamagedArtifactError as error:
        raise DamagedArtifactError(
            what=f"Garbage can't be collected: {error.what}",
            why=f"what it refers to is not known, and must stay ({error.why})",
            fix="remove the object, or use the version of flowyml-aws that wrote it",
        ) from error
    if isinstance(document, JobSpec):
        yield document.payload.key
        if document.code.bundle is not None:
            yield document.code.bundle.key
    for ref in _refs(document):
        yield artifact_key(ref.sha256)


def _kind(key: str) -> type[Document] | None:
    """Which documents lie under a key; None if they refer to nothing."""
    if key.startswith(CACHE):
        return CacheEntry
    if key.startswith(LAYERS):
        return StoredLayer
    if not key.startswith(RUNS):
        return None
    kinds: dict[str, type[Document]] = {
        "plan.json": ExecutionPlan,
        "spec.json": JobSpec,
        "result.json": JobResult,
        "events.json": AttemptEvents,
    }
    return kinds.get(key.rpartition("/")[2])


def _refs(document: Document) -> Iterable[ArtifactRef]:
    if isinstance(document, ExecutionPlan):
        return (ref for step in document.reused.values() for ref in step.assets.values())
    if isinstance(document, JobSpec):
        return (source.ref for source in document.assets.values() if source.ref is not None)
    if isinstance(document, StoredLayer):
        return (document.folder,)
    assert isinstance(document, JobResult | AttemptEvents | CacheEntry)
    return document.assets.values()


def _run_of(key: str) -> str:
    return key.removeprefix(RUNS).partition("/")[0]
