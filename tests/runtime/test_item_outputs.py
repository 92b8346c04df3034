"""Outputs of items wait for each other, and an item counts only when its outputs are stored."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.artifacts.content import Parts
from flowyml_aws.artifacts.packs import PACK_BYTES, SMALL_BYTES
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.transfer import load_values
from flowyml_aws.artifacts.values import EncodedValue, encode_value, save_value
from flowyml_aws.core import clock
from flowyml_aws.core.errors import DamagedArtifactError
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.runtime.item_outputs import RESULT_BYTES, ItemOutputs
from tests.runtime.harness import until


class FailingStore(DirectoryArtifactStore):
    """A store that refuses contents while `fails` is set."""

    fails = False

    def upload(self, key: str, content: Parts) -> None:
        if self.fails:
            raise DamagedArtifactError("it can't be written", "another object exists", "delete it")
        super().upload(key, content)


@pytest.fixture
def store(tmp_path: Path) -> FailingStore:
    return FailingStore(tmp_path / "store")


@pytest.fixture
def assets() -> dict[str, ArtifactRef]:
    return {}


@pytest.fixture
def outputs(store: FailingStore, assets: dict[str, ArtifactRef]) -> ItemOutputs:
    return ItemOutputs(store, assets)


def encoded(**values: Any) -> list[EncodedValue]:
    return [encode_value(asset, value).detached() for asset, value in values.items()]


def nothing() -> None:
    """Settle an item of which nothing is recorded."""


def test_outputs_of_several_items_are_one_object(
    store: FailingStore, assets: Mapping[str, ArtifactRef], outputs: ItemOutputs, tmp_path: Path
) -> None:
    outputs.add(encoded(a=1, b=[2]), nothing)
    outputs.add(encoded(c="three"), nothing)
    outputs.flush()
    assert load_values(store, assets, tmp_path) == {"a": 1, "b": [2], "c": "three"}
    assert len({ref.uri for ref in assets.values()}) == 1


def test_an_item_is_settled_after_its_outputs_are_stored(
    assets: Mapping[str, ArtifactRef], outputs: ItemOutputs
) -> None:
    stored: list[set[str]] = []
    outputs.add(encoded(a=1), lambda: stored.append(set(assets)))
    assert not stored
    outputs.flush()
    outputs.flush()
    assert stored == [{"a"}]


def test_a_value_has_the_same_identity_before_and_after_it_is_stored(
    assets: Mapping[str, ArtifactRef], outputs: ItemOutputs
) -> None:
    outputs.add(encoded(a=[1, 2], b=3), nothing)
    waiting = outputs.identity("a")
    assert "a" in outputs
    outputs.flush()
    assert waiting == assets["a"].identity
    assert "a" not in outputs
    assert outputs.identity("a") is None


def test_an_output_does_not_wait_for_a_long_item(
    assets: Mapping[str, ArtifactRef], outputs: ItemOutputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "_speed", 100.0)
    settled: list[str] = []
    for asset in ("a", "b"):  # the second waits from another moment on
        outputs.add(encoded(**{asset: 1}), partial(settled.append, asset))
        until(partial(settled.__contains__, asset))
    assert assets.keys() == {"a", "b"}


def test_large_outputs_and_files_do_not_wait(
    store: FailingStore, assets: Mapping[str, ArtifactRef], outputs: ItemOutputs, tmp_path: Path
) -> None:
    (tmp_path / "report.txt").write_text("all is well")
    large = {"large": bytes(range(256)) * 1024, "file": tmp_path / "report.txt"}
    small = outputs.store_large({"small": 1, **large})
    assert [value.asset for value in small] == ["small"]
    loaded = load_values(store, assets, tmp_path)
    assert loaded["large"] == large["large"]
    assert loaded["file"].read_text() == "all is well"


def test_an_output_that_is_changed_while_it_waits_is_stored_as_it_was(
    store: FailingStore, assets: Mapping[str, ArtifactRef], outputs: ItemOutputs, tmp_path: Path
) -> None:
    numpy = pytest.importorskip("numpy")
    weights = numpy.arange(3)
    outputs.add(outputs.store_large({"weights": weights}), nothing)
    weights[:] = 9
    outputs.flush()
    assert load_values(store, assets, tmp_path)["weights"].tolist() == [0, 1, 2]


def test_outputs_that_fill_a_pack_do_not_wait(
    assets: Mapping[str, ArtifactRef], outputs: ItemOutputs
) -> None:
    count = PACK_BYTES // SMALL_BYTES
    for number in range(count):
        data = bytes([number]) * (SMALL_BYTES - 100)
        outputs.add(encoded(**{f"a{number}": data, f"b{number}": b"\1" * 100}), nothing)
    assert len(assets) == 2 * count
    assert "a0" not in outputs


def test_an_item_whose_outputs_can_not_be_stored_is_not_settled(
    store: FailingStore, assets: Mapping[str, ArtifactRef], outputs: ItemOutputs
) -> None:
    settled: list[str] = []
    outputs.add(encoded(a=1), lambda: settled.append("a"))
    store.fails = True
    with pytest.raises(DamagedArtifactError):
        outputs.flush()
    assert (settled, dict(assets)) == ([], {})
    store.fails = False
    outputs.flush()
    assert settled == ["a"]


def test_a_failure_while_the_next_item_runs_counts_only_if_it_lasts(
    store: FailingStore,
    assets: Mapping[str, ArtifactRef],
    outputs: ItemOutputs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clock, "_speed", 100.0)
    store.fails = True
    outputs.add(encoded(a=1), nothing)
    until(lambda: outputs._has_failed)
    with pytest.raises(DamagedArtifactError):
        outputs.add(encoded(b=2), nothing)
    store.fails = False
    outputs.flush()
    assert assets.keys() == {"a", "b"}


def test_the_result_gets_outputs_up_to_a_limit(outputs: ItemOutputs) -> None:
    for number in range(3):
        outputs.add(encoded(**{f"a{number}": bytes([number]) * (RESULT_BYTES // 2)}), nothing)
        outputs.flush()
    outputs.add(encoded(small=b""), nothing)
    outputs.flush()
    assert sum(map(len, outputs.contents.values())) == RESULT_BYTES
    assert len(outputs.contents) == 3


def test_only_stored_outputs_are_in_the_result(store: FailingStore, outputs: ItemOutputs) -> None:
    outputs.add(encoded(a=b"abc"), nothing)
    assert outputs.contents == {}
    outputs.flush()
    assert outputs.contents == {save_value(store, "a", b"abc").sha256: b"abc"}
