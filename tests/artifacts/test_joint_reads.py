"""Values that are close in a pack are read together, and known bytes are not read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.artifacts.packs import SMALL_BYTES
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.transfer import load_values, save_values
from flowyml_aws.artifacts.values import encode_value
from flowyml_aws.core.errors import ArtifactNotFoundError, DamagedArtifactError
from flowyml_aws.local.directory import DirectoryArtifactStore
from tests.support.stores import overwrite

VALUES: dict[str, Any] = {f"a{number}": {"number": number} for number in range(20)}


class CountingStore(DirectoryArtifactStore):
    """A store that records the ranges that are read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.ranges: list[tuple[int, int]] = []

    def read_into(self, key: str, offset: int, buffer: memoryview) -> int:
        self.ranges.append((offset, len(buffer)))
        return super().read_into(key, offset, buffer)


@pytest.fixture
def store(tmp_path: Path) -> CountingStore:
    return CountingStore(tmp_path / "store")


def contents_of(values: dict[str, Any]) -> dict[str, bytes]:
    encoded = (encode_value(asset, value) for asset, value in values.items())
    return {value.sha256: value.read() for value in encoded}


def test_the_values_of_a_pack_are_read_with_one_request(
    store: CountingStore, tmp_path: Path
) -> None:
    refs = save_values(store, VALUES)
    assert load_values(store, refs, tmp_path) == VALUES
    assert store.ranges == [(0, sum(ref.size_bytes for ref in refs.values()))]


def test_values_that_are_far_from_each_other_are_read_apart(
    store: CountingStore, tmp_path: Path
) -> None:
    values = {f"a{n}": bytes([n]) * SMALL_BYTES for n in range(5)}
    refs = save_values(store, values)
    in_order = sorted(refs, key=lambda asset: refs[asset].offset)
    chosen = [in_order[0], in_order[1], in_order[4]]
    loaded = load_values(store, {asset: refs[asset] for asset in chosen}, tmp_path)
    assert loaded == {asset: values[asset] for asset in chosen}
    assert store.ranges == [(0, 2 * SMALL_BYTES), (4 * SMALL_BYTES, SMALL_BYTES)]


def test_known_bytes_are_not_read(store: CountingStore, tmp_path: Path) -> None:
    refs = save_values(store, VALUES)
    assert load_values(store, refs, tmp_path, contents=contents_of(VALUES)) == VALUES
    assert store.ranges == []


def test_values_of_different_objects_keep_their_order(store: CountingStore, tmp_path: Path) -> None:
    packs = [save_values(store, {f"a{n}": n, f"b{n}": -n}) for n in range(3)]
    refs = {f"{letter}{n}": packs[n][f"{letter}{n}"] for letter in "ab" for n in range(3)}
    loaded = load_values(store, refs, tmp_path)
    assert list(loaded.items()) == [
        *((f"a{n}", n) for n in range(3)),
        *((f"b{n}", -n) for n in range(3)),
    ]
    assert len(store.ranges) == 3


def test_bytes_with_another_digest_are_read_from_the_store(
    store: CountingStore, tmp_path: Path
) -> None:
    refs = save_values(store, VALUES)
    contents = {**contents_of(VALUES), refs["a3"].sha256: b'{"number":4}'}
    assert load_values(store, refs, tmp_path, contents=contents) == VALUES
    assert store.ranges == [(refs["a3"].offset, refs["a3"].size_bytes)]


def test_an_empty_value_next_to_others_is_loaded(store: CountingStore, tmp_path: Path) -> None:
    values = {**VALUES, "empty": b"", "text": ""}
    refs = save_values(store, values)
    assert load_values(store, refs, tmp_path) == values
    assert load_values(store, refs, tmp_path, contents=contents_of(values)) == values


def damaged(store: CountingStore, refs: dict[str, ArtifactRef], at: int) -> None:
    key = refs["a0"].key
    data = bytearray(store.get(key))
    data[at] ^= 1
    overwrite(store, key, bytes(data))


def test_a_damaged_value_in_a_joint_read_is_an_error_that_names_it(
    store: CountingStore, tmp_path: Path
) -> None:
    refs = save_values(store, VALUES)
    damaged(store, refs, refs["a7"].offset)
    with pytest.raises(DamagedArtifactError, match="'a7'"):
        load_values(store, refs, tmp_path)


def test_a_missing_or_short_pack_is_an_error(store: CountingStore, tmp_path: Path) -> None:
    refs = save_values(store, VALUES)
    data = store.get(refs["a0"].key)
    overwrite(store, refs["a0"].key, data[: refs["a7"].offset])
    with pytest.raises(DamagedArtifactError, match="'a0'"):
        load_values(store, refs, tmp_path)
    store.delete([refs["a0"].key])
    with pytest.raises(ArtifactNotFoundError, match="'a0'"):
        load_values(store, refs, tmp_path)


def test_each_value_has_its_own_memory(store: CountingStore, tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    refs = save_values(store, {"x": numpy.arange(3), "y": numpy.arange(4)})
    loaded = load_values(store, refs, tmp_path)
    for array in loaded.values():
        array[:] = 9
    assert {name: array.tolist() for name, array in loaded.items()} == {"x": 3 * [9], "y": 4 * [9]}
