"""A store whose writes go to another store."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowyml_aws.artifacts.overlay import OverlayStore
from flowyml_aws.artifacts.values import load_value, save_value
from flowyml_aws.core.errors import ArtifactNotFoundError
from flowyml_aws.local.directory import DirectoryArtifactStore


@pytest.fixture
def store(tmp_path: Path) -> OverlayStore:
    lower = DirectoryArtifactStore(tmp_path / "lower")
    lower.put("runs/a", b"old")
    lower.put("runs/b", b"kept")
    return OverlayStore(lower, DirectoryArtifactStore(tmp_path / "upper"))


def test_writes_replace_objects_only_in_the_upper_store(store: OverlayStore) -> None:
    store.put("runs/a", b"new")
    assert (store.get("runs/a"), store.get("runs/b")) == (b"new", b"kept")
    assert store.lower.get("runs/a") == b"old"
    assert store.children("runs/") == ["a", "b"]
    assert sorted((entry.key, entry.size_bytes) for entry in store.walk("runs/")) == [
        ("runs/a", 3),
        ("runs/b", 4),
    ]


def test_a_document_of_either_store_is_not_created_again(store: OverlayStore) -> None:
    assert not store.create("runs/a", b"new")
    assert store.create("runs/c", b"new")
    assert not store.create("runs/c", b"newer")
    with pytest.raises(ArtifactNotFoundError):
        store.lower.get("runs/c")


def test_nothing_of_the_lower_store_is_deleted(store: OverlayStore) -> None:
    store.put("runs/a", b"new")
    store.delete(["runs/a", "runs/b"])
    assert (store.get("runs/a"), store.get("runs/b")) == (b"old", b"kept")


def test_values_of_both_stores_are_loaded(store: OverlayStore, tmp_path: Path) -> None:
    refs = {1: save_value(store.lower, "old", [1]), 2: save_value(store, "new", [2])}
    assert [load_value(store, ref, "x", tmp_path / "files") for ref in refs.values()] == [[1], [2]]
    assert not store.lower.holds(refs[2].key, refs[2].sha256, refs[2].size_bytes)
    assert store.holds(refs[2].key, refs[2].sha256, refs[2].size_bytes)
    assert store.holds(refs[1].key, refs[1].sha256, refs[1].size_bytes)
