"""Removal of what a proof has left in the store."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from flowyml_aws.artifacts.documents import read_document
from flowyml_aws.artifacts.layout import CACHE, EVENTS, RESULT, RunLayout, history_key
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.caching.entries import CacheEntry
from flowyml_aws.core.errors import ArtifactNotFoundError, DamagedArtifactError
from flowyml_aws.runtime.result import AttemptEvents, JobResult

__all__ = ["remove_runs"]

_CLOCK_SKEW_S = 600.0


def remove_runs(
    store: ArtifactStore, pipeline: str, run_ids: Collection[str], since: float
) -> None:
    """Delete the objects of some runs, their cache entries and their values.

    Bundles, pickled steps and the items of maps stay: other runs may have the same content. `gc`
    deletes them.

    Args:
        store: Store of the runs.
        pipeline: Name of their pipeline.
        run_ids: Ids of the runs.
        since: Start of the first of them, in seconds since the epoch.
    """
    keys = [entry.key for run_id in run_ids for entry in store.walk(RunLayout(run_id).prefix)]
    values = {key for name in keys for key in _values(store, name)}
    for entry in store.walk(CACHE):
        if entry.modified_at >= since - _CLOCK_SKEW_S:
            cached = _read_entry(store, entry.key)
            if cached is not None and cached.run_id in run_ids:
                keys.append(entry.key)
                values.update(ref.key for ref in cached.assets.values())
    keys += [history_key(pipeline, run_id) for run_id in run_ids]
    store.delete([*keys, *sorted(values)])


def _values(store: ArtifactStore, key: str) -> Iterator[str]:
    """Yield the keys of the values that a document names. They contain the id of the proof.

    A job that was ended has no result, but the events of its attempt.
    """
    report: JobResult | AttemptEvents
    uri = f"{store.uri}/{key}"
    try:
        if key.endswith(f"/{RESULT}"):
            report = read_document(JobResult, store.get(key), uri)
        elif key.endswith(f"/{EVENTS}"):
            report = read_document(AttemptEvents, store.get(key), uri)
        else:
            return
    except (ArtifactNotFoundError, DamagedArtifactError):
        return
    yield from (ref.key for ref in report.assets.values())


def _read_entry(store: ArtifactStore, key: str) -> CacheEntry | None:
    try:
        return read_document(CacheEntry, store.get(key), f"{store.uri}/{key}")
    except (ArtifactNotFoundError, DamagedArtifactError):
        return None
