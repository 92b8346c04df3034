from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy
import pandas
import polars
import pyarrow
import pytest

from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.values import save_value
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.report.preview import MAX_IMAGE_BYTES, preview_of, value_preview

PNG = b"\x89PNG\r\n\x1a\n"
COLUMNS = {"a": [1, 2], "b": ["<b>", None]}


class Trap:
    """Creates a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.fixture
def store(tmp_path: Path) -> DirectoryArtifactStore:
    return DirectoryArtifactStore(tmp_path / "store")


def test_a_pickle_is_never_loaded(store: DirectoryArtifactStore, tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    ref = save_value(store, "trap", Trap(sprung))
    preview = preview_of(store, ref, "trap")
    assert preview.kind == "none"
    assert "pickle" in preview.text
    assert not sprung.exists()
    pickle.loads(store.get(ref.key)[16:])  # it is a trap
    assert sprung.exists()


def test_values_of_unknown_codecs_are_not_loaded(store: DirectoryArtifactStore) -> None:
    ref = save_value(store, "x", 1).model_copy(update={"codec": "custom/1"})
    assert (
        preview_of(store, ref, "x").text == "values of codec custom/1 are not loaded for a report"
    )


def test_a_missing_value_is_reported(store: DirectoryArtifactStore) -> None:
    ref = ArtifactRef(
        uri=f"{store.uri}/artifacts/00/{'0' * 64}", sha256="0" * 64, size_bytes=1, codec="json/1"
    )
    preview = preview_of(store, ref, "x")
    assert preview.kind == "none"
    assert "no object at" in preview.text


@pytest.mark.parametrize(
    "table",
    [pandas.DataFrame(COLUMNS), polars.DataFrame(COLUMNS), pyarrow.table(COLUMNS)],
    ids=["pandas", "polars", "pyarrow"],
)
def test_a_table_shows_its_head_and_shape(store: DirectoryArtifactStore, table: Any) -> None:
    preview = preview_of(store, save_value(store, "table", table), "table")
    assert preview.kind == "table"
    assert preview.shape == (2, 2)
    assert [column.split("\n")[0] for column in preview.columns] == ["a", "b"]
    assert preview.rows[0] == ("1", "<b>")


def test_a_large_table_is_shortened() -> None:
    frame = pandas.DataFrame({f"c{number}": ["x" * 1000] * 50 for number in range(40)})
    preview = value_preview(frame)
    assert preview.shape == (50, 40)
    assert (len(preview.rows), len(preview.columns)) == (8, 12)
    assert len(preview.rows[0][0]) <= 61


def test_an_array_shows_its_shape_and_statistics(store: DirectoryArtifactStore) -> None:
    array = numpy.array([[1.0, 2.0], [3.0, numpy.nan]])
    preview = preview_of(store, save_value(store, "array", array), "array")
    rows = {row[0]: row[1] for row in preview.rows}
    assert rows["shape"] == "2 × 2"
    assert (rows["minimum"], rows["mean"], rows["maximum"]) == ("1", "2", "3")
    assert rows["not finite"] == "1"


@pytest.mark.parametrize("array", [numpy.zeros((0, 3)), numpy.array(["a"]), numpy.float32(2)])
def test_any_array_has_a_preview(array: Any) -> None:
    assert value_preview(array).kind == "array"


def test_a_small_image_is_shown_and_a_large_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "plot.png"
    path.write_bytes(PNG + bytes(100))
    assert str(value_preview(path).image).startswith("data:image/png;base64,")
    path.write_bytes(PNG + bytes(MAX_IMAGE_BYTES))
    assert "an image of 32,776 bytes" in value_preview(path).text


def test_text_files_and_plain_values_are_text(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("<script>alert(1)</script>")
    assert value_preview(path).text == "<script>alert(1)</script>"
    assert value_preview({"a": [1]}).text == '{\n "a": [\n  1\n ]\n}'
    assert len(value_preview("x" * 10_000).text) == 2001
    assert value_preview(b"\0\1").text == "binary data"
    assert value_preview("\ud800").text == "\\ud800"
