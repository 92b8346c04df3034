from __future__ import annotations

import gc
import os
import threading
import tracemalloc
from collections.abc import Callable
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import numpy
import pytest

from flowyml_aws.artifacts.content import Parts
from flowyml_aws.artifacts.errors import UnstorableValueError
from flowyml_aws.artifacts.list_index import ListItem
from flowyml_aws.artifacts.members import with_members
from flowyml_aws.artifacts.packs import SMALL_BYTES
from flowyml_aws.artifacts.parallel import CONNECTIONS, PART_SLOTS
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.artifacts.transfer import load_values, save_items, save_values
from flowyml_aws.artifacts.values import load_value
from flowyml_aws.core.errors import ArtifactNotFoundError
from flowyml_aws.local.directory import DirectoryArtifactStore

MIB = 1 << 20
LARGE = 24 * MIB


def peak_mib(work: Callable[[], object]) -> tuple[object, float]:
    """Return the result of the work, and its peak of Python memory in MiB."""
    gc.collect()
    tracemalloc.start()
    try:
        result = work()
        return result, tracemalloc.get_traced_memory()[1] / MIB
    finally:
        tracemalloc.stop()


def test_several_values_are_restored_by_asset(store: ArtifactStore, tmp_path: Path) -> None:
    values: dict[str, Any] = {f"small {n}": {"n": n} for n in range(50)}
    values |= {"large": bytes(LARGE), "none": None, "again": {"n": 1}}
    refs = save_values(store, values)
    assert list(refs) == list(values)
    assert refs["again"] == refs["small 1"]
    assert load_values(store, refs, tmp_path) == values


def test_an_empty_mapping_of_values_is_allowed(store: ArtifactStore, tmp_path: Path) -> None:
    assert save_values(store, {}) == {}
    assert load_values(store, {}, tmp_path) == {}


def test_the_error_for_an_unstorable_value_names_its_asset(store: ArtifactStore) -> None:
    with pytest.raises(UnstorableValueError, match="'rows'"):
        save_values(store, {"a": 1, "rows": (n for n in "ab"), "b": 2})


def test_the_error_for_a_missing_value_names_its_asset(tmp_path: Path) -> None:
    store = DirectoryArtifactStore(tmp_path / "store")
    refs = save_values(store, {"a": 1, "rows": bytes(SMALL_BYTES + 1), "b": 3})
    store.path(refs["rows"].key).unlink()
    with pytest.raises(ArtifactNotFoundError, match="'rows'"):
        load_values(store, refs, tmp_path / "values")


class OfThread:
    """A value that records in which thread it is pickled and unpickled."""

    def __getstate__(self) -> dict[str, object]:
        return {"pickled": threading.get_ident(), "digits": str(Decimal(1) / Decimal(3))}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.threads = {state["pickled"], threading.get_ident()}
        self.digits = {state["digits"], str(Decimal(1) / Decimal(3))}


def test_values_are_pickled_and_unpickled_in_the_thread_of_the_caller(tmp_path: Path) -> None:
    store = DirectoryArtifactStore(tmp_path / "store")
    with localcontext() as context:
        context.prec = 5
        refs = save_values(store, {f"value {n}": [n, OfThread()] for n in range(3)})
        loaded = load_values(store, refs, tmp_path / "values")
    for _, value in loaded.values():
        assert value.threads == {threading.get_ident()}
        assert value.digits == {"0.33333"}


def test_loading_values_that_are_no_files_creates_no_folder(tmp_path: Path) -> None:
    store = DirectoryArtifactStore(tmp_path / "store")
    refs = save_values(store, {"a": 1, "b": (2,)})
    load_values(store, refs, tmp_path / "values")
    assert not (tmp_path / "values").exists()


def test_encoding_copies_one_large_value_at_a_time(tmp_path: Path) -> None:
    store = DirectoryArtifactStore(tmp_path)
    # A strided array must be copied to make its bytes contiguous.
    values = {f"a{n}": numpy.full(LARGE // 2, n, numpy.int32)[::2] for n in range(6)}
    assert all(value.nbytes == LARGE for value in values.values())
    _, peak = peak_mib(lambda: save_values(store, values))
    assert peak < 3 * 24


def test_decoding_copies_one_large_value_at_a_time(tmp_path: Path) -> None:
    store = DirectoryArtifactStore(tmp_path / "store")
    values = {f"a{n}": str(n) * LARGE for n in range(6)}
    refs = save_values(store, values)
    loaded, peak = peak_mib(lambda: load_values(store, refs, tmp_path / "values"))
    assert loaded == values
    assert peak < (6 + 2) * 24


class BarrierStore(DirectoryArtifactStore):
    """A store whose uploads wait for each other. It records the maximum number at once."""

    def __init__(self, folder: Path, expected: int) -> None:
        super().__init__(folder)
        self._barrier = threading.Barrier(expected, timeout=30)
        self._lock = threading.Lock()
        self._running = self.most_running = 0

    def upload(self, key: str, content: Parts) -> None:
        with self._lock:
            self._running += 1
            self.most_running = max(self.most_running, self._running)
        self._barrier.wait()
        super().upload(key, content)
        with self._lock:
            self._running -= 1


@pytest.mark.parametrize(
    ("size", "expected"),
    [(2 * MIB, PART_SLOTS.count // 2), (SMALL_BYTES, CONNECTIONS // 2), (LARGE, 1)],
)
def test_fewer_large_values_than_small_ones_are_stored_at_once(
    tmp_path: Path, size: int, expected: int
) -> None:
    store = BarrierStore(tmp_path, expected)
    values = {f"a{n}": bytes([n]) * 10 + os.urandom(size) for n in range(2 * expected)}
    assert len(save_values(store, values)) == 2 * expected
    assert store.most_running == expected


def test_a_file_needs_less_memory_than_its_size(tmp_path: Path) -> None:
    store = DirectoryArtifactStore(tmp_path / "store")
    path = tmp_path / "file"
    with path.open("wb") as file:
        for n in range(20):
            file.write(numpy.random.default_rng(n).integers(0, 50, 8 * MIB, numpy.uint8).tobytes())
    refs, saving = peak_mib(lambda: save_values(store, {"file": path}))
    assert isinstance(refs, dict)
    assert refs["file"].compression is not None
    loaded, loading = peak_mib(lambda: load_values(store, refs, tmp_path / "values"))
    assert isinstance(loaded, dict)
    assert loaded["file"].read_bytes() == path.read_bytes()
    assert max(saving, loading) < 128


def test_the_items_of_a_list_are_stored_one_by_one_and_loaded_as_a_list(
    store: ArtifactStore, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("a")
    items = [1, "two", [3], tmp_path / "a.txt"]
    index = save_items(store, "shards", items)
    assert [item.position for item in index.items] == [0, 1, 2, 3]
    refs = save_values(store, {"shards": index, "n": 4})
    assert {ref.codec for ref in refs.values()} == {"items/1", "json/1"}
    for loaded in (
        load_values(store, refs, tmp_path / "all")["shards"],
        load_values(store, {"shards": refs["shards"]}, tmp_path / "one")["shards"],
        load_value(store, refs["shards"], "shards", tmp_path / "single"),
    ):
        assert loaded[:3] == items[:3]
        assert loaded[3].read_text() == "a"
    assert load_values(store, refs, tmp_path / "all")["n"] == 4
    assert next(with_members(store, refs["shards"])) == refs["shards"]
    assert len(list(with_members(store, refs["shards"]))) == 5


def test_a_list_without_some_items_is_loaded_as_the_list_of_the_others(
    store: ArtifactStore, tmp_path: Path
) -> None:
    index = save_items(store, "shards", [1, 2, 3])
    items = (index.items[0], ListItem(position=1, dropped="it failed"), index.items[2])
    ref = save_values(store, {"shards": index.model_copy(update={"items": items})})["shards"]
    assert load_values(store, {"shards": ref}, tmp_path) == {"shards": [1, 3]}
    assert load_value(store, ref, "shards", tmp_path) == [1, 3]


def test_a_missing_item_of_a_list_is_an_error_that_names_it(
    store: ArtifactStore, tmp_path: Path
) -> None:
    index = save_items(store, "shards", ["x" * 300_000, "y"])
    ref = save_values(store, {"shards": index})["shards"]
    large = index.items[0].ref
    assert large is not None
    store.delete([large.key])
    with pytest.raises(ArtifactNotFoundError, match=r"'shards\[0\]' is missing"):
        load_values(store, {"shards": ref}, tmp_path)
