from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pandas
import polars
import pyarrow
import pyarrow.feather
import pyarrow.parquet
import pytest
from matplotlib.figure import Figure
from PIL import Image
from pydantic import BaseModel

from flowyml_aws.cli.save import save_list, save_to
from flowyml_aws.core.errors import SettingsError

ROWS = {"a": [1, 2], "b": ["x", "y"]}
FRAMES = {
    "pandas": lambda: pandas.DataFrame(ROWS),
    "polars": lambda: polars.DataFrame(ROWS),
    "polars lazy": lambda: polars.LazyFrame(ROWS),
    "table": lambda: pyarrow.table(ROWS),
    "record batch": lambda: pyarrow.record_batch(ROWS),
}


class Point(BaseModel):
    x: int


@pytest.mark.parametrize("kind", FRAMES)
@pytest.mark.parametrize(
    ("ending", "read"),
    [
        (".csv", lambda path: polars.read_csv(path)),
        (".parquet", lambda path: polars.from_arrow(pyarrow.parquet.read_table(path))),
        (".arrow", lambda path: polars.from_arrow(pyarrow.feather.read_table(path))),
        (".feather", lambda path: polars.from_arrow(pyarrow.feather.read_table(path))),
    ],
)
def test_a_frame_is_written_in_the_format_of_the_ending(
    tmp_path: Path, kind: str, ending: str, read: Callable[[Path], Any]
) -> None:
    out = tmp_path / f"rows{ending}"
    save_to(FRAMES[kind](), out)
    frame = read(out)
    assert frame.select("a", "b").to_dict(as_series=False) == ROWS
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_a_frame_is_written_as_json_records(tmp_path: Path, kind: str) -> None:
    save_to(FRAMES[kind](), tmp_path / "rows.json")
    records = json.loads((tmp_path / "rows.json").read_text())
    assert records == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]


def test_an_index_with_labels_is_a_column_of_the_csv_file(tmp_path: Path) -> None:
    series = pandas.Series([1.5, 2.5], index=["x", "y"], name="score")
    save_to(series, tmp_path / "scores.csv")
    assert (tmp_path / "scores.csv").read_text() == ",score\nx,1.5\ny,2.5\n"


@pytest.mark.parametrize("value", [numpy.arange(6).reshape(2, 3), numpy.float32(1.5)], ids=repr)
def test_an_array_is_written_as_npy(tmp_path: Path, value: Any) -> None:
    assert save_to(value, tmp_path / "values.NPY") == "NPY"
    numpy.testing.assert_array_equal(numpy.load(tmp_path / "values.NPY"), value)


def test_a_figure_and_an_image_are_written_as_pictures(tmp_path: Path) -> None:
    image = Image.new("RGB", (3, 2), "red")
    for value, size in ((image, (3, 2)), (Figure(figsize=(2, 1), dpi=100), (200, 100))):
        save_to(value, tmp_path / "picture.png")
        with Image.open(tmp_path / "picture.png") as picture:
            assert (picture.format, picture.size) == ("PNG", size)


@pytest.mark.parametrize("value", [[1, None], {"a": "ä"}, Point(x=3), "text"], ids=repr)
def test_a_value_is_written_as_json(tmp_path: Path, value: Any) -> None:
    save_to(value, tmp_path / "value.json")
    text = (tmp_path / "value.json").read_text("utf-8")
    if isinstance(value, str):
        assert text == value
    else:
        assert json.loads(text) == (value.model_dump() if isinstance(value, Point) else value)


@pytest.mark.parametrize("value", [[1], "text", b"bytes", {1j}, numpy.ones(2)], ids=repr)
def test_any_value_is_written_as_a_pickle(tmp_path: Path, value: Any) -> None:
    save_to(value, tmp_path / "value.pkl")
    loaded = pickle.loads((tmp_path / "value.pkl").read_bytes())
    assert type(loaded) is type(value)
    numpy.testing.assert_equal(loaded, value)


def picture_file(folder: Path) -> Path:
    (folder / "source").mkdir()
    path = folder / "source" / "picture.png"
    Image.new("RGB", (1, 1)).save(path)
    return path


@pytest.mark.parametrize(
    ("make", "name", "why", "fix"),
    [
        (lambda _: 3, "x.parquet", "int has no Parquet format", ".json or .pkl"),
        (lambda _: {"a": 1}, "x.csv", "dict has no CSV format", ".json"),
        (lambda _: numpy.ones(2), "x.csv", "ndarray has no CSV format", ".npy"),
        (lambda _: (1, 2), "x.json", "tuple has no JSON format", ".pkl"),
        (lambda _: "text", "x.png", "str has no PNG format", ".json"),
        (lambda _: pandas.DataFrame(ROWS), "x.png", "has no PNG format", ".csv"),
        (lambda _: polars.DataFrame({"a": [[1]]}), "x.csv", "nested data", ".pkl"),
        (lambda _: numpy.array([{}]), "x.npy", "allow_pickle", ".pkl"),
        (picture_file, "x.csv", "the file picture.png", ".png"),
    ],
)
def test_a_value_without_the_format_is_refused_with_the_endings_that_fit(
    tmp_path: Path, make: Callable[[Path], Any], name: str, why: str, fix: str
) -> None:
    value = make(tmp_path)
    with pytest.raises(SettingsError) as caught:
        save_to(value, tmp_path / name)
    assert why in caught.value.why
    assert fix in caught.value.fix
    assert set(tmp_path.iterdir()) <= {tmp_path / "source"}


def test_a_failed_write_keeps_the_file_that_existed(tmp_path: Path) -> None:
    out = tmp_path / "x.csv"
    out.write_text("earlier")
    with pytest.raises(SettingsError):
        save_to(polars.DataFrame({"a": [[1]]}), out)
    assert out.read_text() == "earlier"


def test_a_file_is_copied_with_its_executable_bit_and_a_folder_with_its_links(
    tmp_path: Path,
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "run").write_text("#!/bin/sh\n")
    (source / "run").chmod(0o755)
    (source / "link").symlink_to("run")
    save_to(source / "run", tmp_path / "copy.sh")
    save_to(source, tmp_path / "copies")
    assert os.access(tmp_path / "copy.sh", os.X_OK)
    assert (tmp_path / "copies" / "link").readlink() == Path("run")


def test_a_list_that_json_can_represent_is_one_file(tmp_path: Path) -> None:
    assert save_list({"half[0]": 1, "half[2]": 2}, tmp_path / "half") == "JSON"
    assert json.loads((tmp_path / "half").read_text()) == [1, 2]


def test_any_other_list_is_a_folder_with_a_file_for_each_item(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(b"png")
    values = {"m[0]": numpy.ones(2), "m[3]": b"raw", "m[4]": "text", "m[5]": picture, "m[6]": 1j}
    assert save_list(values, tmp_path / "m") == "a folder with 5 files"
    names = sorted(path.name for path in (tmp_path / "m").iterdir())
    assert names == ["0.npy", "3.bin", "4.txt", "5.png", "6.pkl"]
    assert numpy.load(tmp_path / "m" / "0.npy").tolist() == [1.0, 1.0]


def test_an_ending_selects_one_file_for_a_list(tmp_path: Path) -> None:
    save_list({"m[0]": 1j, "m[1]": 2j}, tmp_path / "m.pkl")
    assert pickle.loads((tmp_path / "m.pkl").read_bytes()) == [1j, 2j]


def test_a_list_can_not_replace_a_file_with_a_folder(tmp_path: Path) -> None:
    (tmp_path / "m").touch()
    with pytest.raises(SettingsError, match="Can't write"):
        save_list({"m[0]": 1j, "m[1]": 2j}, tmp_path / "m")
