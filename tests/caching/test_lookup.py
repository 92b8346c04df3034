"""Lookup of earlier runs' outputs in a store."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from flowyml_aws import step
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.values import save_value
from flowyml_aws.caching.cache_key import cache_key
from flowyml_aws.caching.entries import CacheEntry, write_entry
from flowyml_aws.caching.fingerprint import Fingerprinter
from flowyml_aws.caching.lookup import KeyFacts, find_reuse, identities_of
from flowyml_aws.caching.reuse import Reuse
from flowyml_aws.core.binding import bind_steps
from flowyml_aws.core.build import build_pipeline, expand_maps
from flowyml_aws.core.distributions import VersionReader
from flowyml_aws.core.graph import StepGraph, read_graph
from flowyml_aws.core.step import Step
from flowyml_aws.local.directory import DirectoryArtifactStore
from tests.support.denied_stores import StoreWithoutReadableCache


@step(outputs=["number"])
def count():
    return 3


@step(outputs=["word"])
def spell():
    return "three"


def test_a_denied_lookup_runs_the_steps_and_is_one_note_of_the_plan(tmp_path: Path) -> None:
    graph, _ = read_graph((count, spell), {})
    assert graph is not None
    known = identities_of("p", graph, {}, Fingerprinter(), KeyFacts()).known
    reuse = find_reuse(StoreWithoutReadableCache(tmp_path / "store"), graph, known, {}, ())
    assert reuse.runs == {"count", "spell"}
    (note,) = reuse.notes
    assert "the cache can't be read: Can't read cache/" in note
    assert "allow s3:GetObject on it" in note


class CountingStore(DirectoryArtifactStore):
    """A store that counts the reads of documents."""

    reads = 0

    def get(self, key: str) -> bytes:
        self.reads += 1
        return super().get(key)


def a_step(number: int) -> Step:
    @step(name=f"count_{number}", outputs=[f"number_{number}"])
    def count_one() -> int:
        return number

    return count_one


def test_keys_without_an_entry_are_not_looked_up_one_by_one(tmp_path: Path) -> None:
    store = CountingStore(tmp_path / "store")
    graph, _ = read_graph([a_step(number) for number in range(30)], {})
    assert graph is not None
    known = identities_of("p", graph, {}, Fingerprinter(), KeyFacts()).known
    reuse = find_reuse(store, graph, known, {}, ())
    assert len(reuse.runs) == 30
    assert store.reads == 0
    hit = known["count_7"]
    entry = CacheEntry(
        key=cache_key(hit.digest, {}),
        pipeline="p",
        step="count_7",
        run_id="r",
        created_at=0,
        assets={"number_7": save_value(store, "number_7", 7)},
    )
    write_entry(store, entry)
    reuse = find_reuse(store, graph, known, {}, ())
    assert reuse.runs == {step.name for step in graph.steps} - {"count_7"}
    assert store.reads == 1


def test_items_with_the_same_packages_share_one_identity() -> None:
    context = {"numbers": [1, 2, 3]}
    mapped = step(name="double", outputs=["doubled"])(lambda number: 2 * number)
    declared, _ = build_pipeline(bind_steps([mapped.map(over="numbers")], context), context)
    assert declared is not None
    pipeline, _ = expand_maps(declared, context)
    assert pipeline is not None
    names = [item.name for item in pipeline.graph.steps]
    facts = KeyFacts(versions={name: VersionReader() for name in names})
    known = identities_of("p", pipeline.graph, {}, Fingerprinter(), facts).known
    assert len({id(known[name]) for name in names}) == 1


class StoreWithChecks(DirectoryArtifactStore):
    """A store that counts the checks of single objects."""

    checks = 0

    def holds(self, key: str, sha256: str, size_bytes: int) -> bool:
        self.checks += 1
        return super().holds(key, sha256, size_bytes)


@pytest.fixture
def cached(tmp_path: Path) -> tuple[StoreWithChecks, StepGraph, dict[str, ArtifactRef]]:
    """Return a store with the outputs of 30 steps."""
    store = StoreWithChecks(tmp_path / "store")
    graph, _ = read_graph([a_step(number) for number in range(30)], {})
    assert graph is not None
    refs = {}
    for name, identity in identities_of("p", graph, {}, Fingerprinter(), KeyFacts()).known.items():
        asset = name.replace("count", "number")
        refs[name] = save_value(store, asset, name)
        key = cache_key(identity.digest, {})
        entry = CacheEntry(
            key=key,
            pipeline="p",
            step=name,
            run_id="r",
            created_at=time.time() + 1,
            assets={asset: refs[name]},
        )
        write_entry(store, entry)
    return store, graph, refs


def reuse_of(store: StoreWithChecks, graph: StepGraph) -> Reuse:
    store.checks = 0
    known = identities_of("p", graph, {}, Fingerprinter(), KeyFacts()).known
    return find_reuse(store, graph, known, {}, ())


def test_values_that_a_listing_proves_are_not_checked_one_by_one(
    cached: tuple[StoreWithChecks, StepGraph, dict[str, ArtifactRef]],
) -> None:
    store, graph, _ = cached
    assert reuse_of(store, graph).runs == set()
    assert store.checks == 0


def test_a_step_whose_value_is_gone_or_has_another_size_runs_again(
    cached: tuple[StoreWithChecks, StepGraph, dict[str, ArtifactRef]],
) -> None:
    store, graph, refs = cached
    store.delete([refs["count_3"].key])
    store.path(refs["count_4"].key).chmod(0o600)
    store.path(refs["count_4"].key).write_bytes(b"")
    assert reuse_of(store, graph).runs == {"count_3", "count_4"}
    assert store.checks == 2


def test_a_value_that_was_written_after_its_entry_is_checked(
    cached: tuple[StoreWithChecks, StepGraph, dict[str, ArtifactRef]],
) -> None:
    store, graph, refs = cached
    later = time.time() + 3600
    os.utime(store.path(refs["count_5"].key), (later, later))
    assert reuse_of(store, graph).runs == set()
    assert store.checks == 1
