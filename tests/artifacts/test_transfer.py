from __future__ import annotations

import gc
import os
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

from flowyml_aws.artifacts.content import Parts
from flowyml_aws.artifacts.errors import UnstorableValueError
from flowyml_aws.artifacts.layout import artifact_key
from flowyml_aws.artifacts.parallel import CONNECTIONS, LANES
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.artifacts.transfer import load_values, save_values
from flowyml_aws.artifacts.values import save_value
from flowyml_aws.core.errors import ArtifactNotFoundError
from flowyml_aws.local.directory import DirectoryArtifactStore

MIB = 1 << 20
LARGE = 24 * MIB


def peak_mib(work: Callable[[], object]) -> tuple[object, float]:
    """What the work returns, and the most memory that Python had for it, in MiB."""
    gc.collect()
    tracemalloc.start()
    try:
        result = work()
        return result, tracemalloc.get_traced_memory()[1] / MIB
    finally:
        tracemalloc.stop()


def test_several_values_come_back_each_under_its_asset(
    store: ArtifactStore, tmp_path: Path
) -> None:
    values: dict[str, Any] = {f"small {n}": {"n": n} for n in range(50)}
    values |= {"large": bytes(LARGE), "none": None, "again": {"n": 1}}
    refs = save_values(store, values)
    assert list(refs) == list(values)
    assert refs["again"] == refs["small 1"] == save_value(store, "again", {"n": 1})
    assert load_values(store, refs, tmp_path) == values


def test_no_values_are_none(store: ArtifactStore, tmp_path: Path) -> None:
    assert save_values(store, {}) == {}
    assert load_values(store, {}, tmp_path) == {}


def test_of_several_values_the_one_that_cannot_be_stored_is_named(store: ArtifactStore) -> None:
    with pytest.raises(UnstorableValueError, match="'rows'"):
        save_values(store, {"a": 1, "rows": (n for n in "ab"), "b": 2})


def test_of_several_values_the_one_that_is_gone_is_named(tmp_path: Path) -> None:
    store = DirectoryArtifactStore(tmp_path / "store")
    refs = save_values(store, {"a": 1, "rows": 2, "b": 3})
    store.path(artifact_key(refs["rows"].sha256)).unlink()
    with pytest.raises(ArtifactNotFoundError, match="'rows'"):
        load_values(store, refs, tmp_path / "values")


def test_what_encoding_copies_is_in_memory_of_one_large_value_at_a_time(tmp_path: Path) -> None:
    store = DirectoryArtifactStore(tmp_path)
    # Only a copy of an array in strides has its bytes in order.
    values = {f"a{n}": numpy.full(LARGE // 2, n, numpy.int32)[::2] for n in range(6)}
    assert all(value.nbytes == LARGE for value in values.values())
    _, peak = peak_mib(lambda: save_values(store, values))
    assert peak < 3 * 24


def test_what_decoding_copies_is_in_memory_of_one_large_value_at_a_time(tmp_path: Path) -> None:
    store = DirectoryArtifactStore(tmp_path / "store")
    values = {f"a{n}": str(n) * LARGE for n in range(6)}
    refs = save_values(store, values)
    loaded, peak = peak_mib(lambda: load_values(store, refs, tmp_path / "values"))
    assert loaded == values
    assert peak < (6 + 2) * 24


class Meeting(DirectoryArtifactStore):
    """Each upload waits until some are under way; the most that ever were are counted."""

    def __init__(self, folder: Path, expected: int) -> None:
        super().__init__(folder)
        self._met = threading.Barrier(expected, timeout=30)
        self._lock = threading.Lock()
        self._now = self.most = 0

    def upload(self, key: str, content: Parts) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        self._met.wait()
        super().upload(key, content)
        with self._lock:
            self._now -= 1


@pytest.mark.parametrize(
    ("size", "expected"), [(2 * MIB, LANES.count // 2), (1000, CONNECTIONS // 2), (LARGE, 1)]
)
def test_the_larger_values_are_the_fewer_go_at_once(
    tmp_path: Path, size: int, expected: int
) -> None:
    store = Meeting(tmp_path, expected)
    values = {f"a{n}": bytes([n]) * 10 + os.urandom(size) for n in range(2 * expected)}
    assert len(save_values(store, values)) == 2 * expected
    assert store.most == expected


def test_a_file_takes_less_memory_than_it_has_bytes(tmp_path: Path) -> None:
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
