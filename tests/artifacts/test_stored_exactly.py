"""Values that their own pickles would change, refer to files with, or keep too much of."""

from __future__ import annotations

import base64
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pandas
import polars
import pyarrow
import pyarrow.dataset
import pytest
from PIL import Image
from polars.testing import assert_frame_equal, assert_series_equal

from flowyml_aws.artifacts.codecs.pickles import PickleCodec
from flowyml_aws.artifacts.errors import UnstorableValueError
from flowyml_aws.artifacts.values import encode_value, load_value, save_value
from flowyml_aws.local.directory import DirectoryArtifactStore
from tests.artifacts.generic_models import Box, Pair
from tests.artifacts.roundtrip import encoded, round_trip

pytestmark = pytest.mark.version_sensitive

CODEC = PickleCodec()
FRAME = polars.DataFrame({"a": [1, 2, 3], "b": ["x", "y", None]})


@pytest.fixture
def store(tmp_path: Path) -> DirectoryArtifactStore:
    return DirectoryArtifactStore(tmp_path / "store")


def write_files(folder: Path) -> Path:
    folder.mkdir()
    FRAME.write_parquet(folder / "rows.parquet")
    FRAME.write_csv(folder / "rows.csv")
    FRAME.write_ipc(folder / "rows.arrow")
    FRAME.write_ndjson(folder / "rows.ndjson")
    return folder


def loaded_without_files(
    store: DirectoryArtifactStore, folder: Path, make: Callable[[Path], Any]
) -> Any:
    """Store a value that names files, remove the files, and load the value."""
    ref = save_value(store, "rows", make(write_files(folder)))
    for path in folder.iterdir():  # a new file, as another job would have
        path.unlink()
        path.write_text("the files of another run")
    return load_value(store, ref, "rows", folder / "assets")


SCANS: dict[str, Callable[[Path], polars.LazyFrame]] = {
    "parquet": lambda folder: polars.scan_parquet(folder / "rows.parquet"),
    "csv": lambda folder: polars.scan_csv(folder / "rows.csv"),
    "ipc": lambda folder: polars.scan_ipc(folder / "rows.arrow"),
    "ndjson": lambda folder: polars.scan_ndjson(folder / "rows.ndjson"),
    "dataset": lambda folder: polars.scan_pyarrow_dataset(
        pyarrow.dataset.dataset(folder / "rows.parquet")
    ),
    "with a filter": lambda folder: polars.scan_parquet(folder / "rows.parquet").filter(
        polars.col("a") > 1
    ),
    "joined with rows in memory": lambda folder: FRAME.lazy().join(
        polars.scan_csv(folder / "rows.csv"), on="a", maintain_order="left"
    ),
}


@pytest.mark.parametrize("kind", SCANS)
def test_a_scan_of_files_is_read_before_it_is_stored(
    store: DirectoryArtifactStore, tmp_path: Path, kind: str
) -> None:
    folder = tmp_path / "job"
    expected = SCANS[kind](write_files(tmp_path / "same")).collect()
    (loaded,) = loaded_without_files(store, folder, lambda path: (SCANS[kind](path),))
    assert type(loaded) is polars.LazyFrame
    assert_frame_equal(loaded.collect(), expected)


def test_a_lazy_frame_in_memory_stays_lazy() -> None:
    loaded = round_trip(CODEC, FRAME.lazy().filter(polars.col("a") > 1))
    assert "FILTER" in loaded.explain(optimized=False)
    assert_frame_equal(loaded.collect(), FRAME.filter(polars.col("a") > 1))


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: pyarrow.dataset.dataset(folder / "rows.parquet"),
        lambda folder: [pyarrow.dataset.dataset(folder / "rows.parquet")],
        lambda folder: pyarrow.dataset.dataset(
            [
                pyarrow.dataset.dataset(folder / "rows.parquet"),
                pyarrow.dataset.dataset(folder / "rows.parquet"),
            ]
        ),
        lambda folder: next(pyarrow.dataset.dataset(folder / "rows.parquet").get_fragments()),
        lambda folder: __import__("pyarrow.parquet").parquet.ParquetDataset(
            folder / "rows.parquet"
        ),
    ],
    ids=["files", "nested", "union", "fragment", "parquet"],
)
def test_an_arrow_dataset_is_refused_with_what_to_return(
    tmp_path: Path, make: Callable[[Path], Any]
) -> None:
    with pytest.raises(UnstorableValueError, match="'rows'") as caught:
        encode_value("rows", make(write_files(tmp_path / "job")))
    assert "names files" in caught.value.why
    assert "to_table()" in caught.value.fix


def test_a_memory_map_inside_a_value_is_read(tmp_path: Path) -> None:
    array = numpy.memmap(tmp_path / "rows", dtype=numpy.int64, mode="w+", shape=(5000,))
    array[:] = 7
    (loaded,) = round_trip(CODEC, (array,))
    array[:] = 8
    numpy.testing.assert_array_equal(loaded, numpy.full(5000, 7))


def test_a_lazily_opened_xarray_is_read(store: DirectoryArtifactStore, tmp_path: Path) -> None:
    xarray = pytest.importorskip("xarray")

    def make(folder: Path) -> Any:
        xarray.Dataset({"a": ("x", numpy.arange(5.0))}).to_netcdf(folder / "rows.nc")
        opened = xarray.open_dataset(folder / "rows.nc")
        loaded = xarray.open_dataset(folder / "rows.nc").load()
        return [opened, opened["a"], opened["a"].variable, loaded]

    for value in loaded_without_files(store, tmp_path / "job", make):
        column = value["a"] if isinstance(value, xarray.Dataset) else value
        assert column.values.tolist() == [0, 1, 2, 3, 4]


def test_a_hugging_face_dataset_over_files_is_read(
    store: DirectoryArtifactStore, tmp_path: Path
) -> None:
    datasets = pytest.importorskip("datasets")

    def make(folder: Path) -> Any:
        datasets.Dataset.from_dict({"a": [1, 2, 3]}).save_to_disk(str(folder / "saved"))
        opened = datasets.load_from_disk(str(folder / "saved"))
        values = {"all": opened, "some": opened.filter(lambda row: row["a"] > 1)}
        return datasets.DatasetDict(values)

    ref = save_value(store, "rows", make(write_files(tmp_path / "job")))
    (tmp_path / "job").rename(tmp_path / "gone")
    loaded = load_value(store, ref, "rows", tmp_path / "assets")
    assert list(loaded["all"]["a"]) == [1, 2, 3]
    assert list(loaded["some"]["a"]) == [2, 3]
    with pytest.raises(UnstorableValueError, match="names files"):
        encode_value("rows", loaded["all"].to_iterable_dataset())
    assert list(round_trip(CODEC, datasets.Dataset.from_dict({"a": [1]}))["a"]) == [1]


def test_images_of_a_hugging_face_dataset_carry_their_files(
    store: DirectoryArtifactStore, tmp_path: Path
) -> None:
    datasets = pytest.importorskip("datasets")
    picture = tmp_path / "picture.png"
    Image.new("RGB", (2, 2), "red").save(picture)
    rows = datasets.Dataset.from_dict({"image": [str(picture)]})
    ref = save_value(store, "rows", rows.cast_column("image", datasets.Image()))
    picture.unlink()
    loaded = load_value(store, ref, "rows", tmp_path / "assets")
    assert loaded[0]["image"].getpixel((0, 0)) == (255, 0, 0)


def test_a_zarr_array_in_a_folder_carries_its_files(
    store: DirectoryArtifactStore, tmp_path: Path
) -> None:
    zarr = pytest.importorskip("zarr", minversion="3")

    def make(folder: Path) -> Any:
        array = zarr.open(str(folder / "array.zarr"), mode="w", shape=(4,), dtype="i4")
        array[:] = 7
        return [array]

    ref = save_value(store, "rows", make(write_files(tmp_path / "job")))
    (tmp_path / "job").rename(tmp_path / "gone")
    (loaded,) = load_value(store, ref, "rows", tmp_path / "assets")
    assert list(loaded[:]) == [7, 7, 7, 7]


def test_a_dask_collection_and_a_lazily_opened_file_are_refused(tmp_path: Path) -> None:
    array = pytest.importorskip("dask.array")
    fsspec = pytest.importorskip("fsspec")
    for value in (array.ones((3,)), fsspec.open(str(tmp_path / "file"))):
        with pytest.raises(UnstorableValueError, match="names files"):
            encode_value("rows", [value])


@pytest.mark.parametrize(
    "frame",
    [
        polars.DataFrame({"": [1], "a": [2]}),
        polars.DataFrame({"column_0": [1], "": [2]}),
        polars.DataFrame({"": [1], "column_0": [2]}),
        polars.DataFrame({"0": [1], "": [2], " ": [3]}),
        polars.DataFrame({"a\0b": [1], "a": [2]}),
        polars.DataFrame({"a": [{"x\0": 1, "": 2}]}),
        polars.DataFrame({"a": [{"": 1, "b": 2}]}),
        polars.DataFrame({"a": polars.Series([[], []], dtype=polars.Array(polars.Int8, 0))}),
        polars.DataFrame(
            {"": polars.Series([[]], dtype=polars.Array(polars.Int8, 0)), "column_0": [1]}
        ),
        polars.DataFrame(
            {"a": polars.Series([[[], []]], dtype=polars.List(polars.Array(polars.Int8, 0)))}
        ),
    ],
    ids=lambda frame: repr(frame.schema),
)
def test_names_and_empty_arrays_of_polars_are_kept(
    store: DirectoryArtifactStore, tmp_path: Path, frame: polars.DataFrame
) -> None:
    for value in (frame, *frame.get_columns()):
        loaded = load_value(store, save_value(store, "rows", value), "rows", tmp_path)
        compare: Any = assert_frame_equal if value is frame else assert_series_equal
        compare(loaded, value, check_exact=True)
        (nested,) = round_trip(CODEC, (value,))
        compare(nested, value, check_exact=True)


def test_polars_objects_are_pickled(store: DirectoryArtifactStore, tmp_path: Path) -> None:
    items = [{"a"}, None, 1 + 2j]
    frame = polars.DataFrame({"o": polars.Series(items, dtype=polars.Object), "n": [1, 2, 3]})
    loaded = load_value(store, save_value(store, "rows", frame), "rows", tmp_path)
    assert loaded.schema == frame.schema
    assert loaded["o"].to_list() == items
    assert loaded["n"].to_list() == [1, 2, 3]


def test_missing_values_next_to_nan_are_kept(store: DirectoryArtifactStore, tmp_path: Path) -> None:
    numbers = numpy.array([1.0, numpy.nan, 0.0])
    array = pandas.arrays.FloatingArray(numbers, numpy.array([False, False, True]))
    for value in (pandas.Series(array), pandas.DataFrame({"a": array})):
        loaded = load_value(store, save_value(store, "rows", value), "rows", tmp_path)
        kept = (loaded if loaded.ndim == 1 else loaded["a"]).array
        assert kept.isna().tolist() == array.isna().tolist()
        assert repr(kept) == repr(array)


@pytest.mark.parametrize("model", [Box[int], Box[list[str]], Box[Box[int]], Pair[int, str]])
def test_a_parametrized_model_keeps_its_class(model: Any) -> None:
    assert round_trip(CODEC, model) is model


@pytest.mark.contract
def test_a_parametrized_model_keeps_its_class_in_another_process() -> None:
    program = (
        "import base64, sys\n"
        "from flowyml_aws.artifacts.codecs.pickles import PickleCodec\n"
        "value = PickleCodec().decode(memoryview(base64.b64decode(sys.argv[1])))\n"
        "from tests.artifacts.generic_models import Box\n"
        "print(isinstance(value, Box[int]), isinstance(value, Box[str]), value.item)"
    )
    data = base64.b64encode(encoded(CODEC, Box[int](item=3))).decode()
    done = subprocess.run(
        [sys.executable, "-c", program, data],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "True False 3\n", done.stderr


def test_a_parametrized_model_is_stored_by_name() -> None:
    value = Box[int](item=3)
    assert len(encoded(CODEC, value)) < len(pickle.dumps(value.model_dump())) + 500
    assert b"_make_skeleton_class" not in bytes(encoded(CODEC, value))


NUMBERS = pyarrow.array(range(1_000_000))
TEXTS = pyarrow.array(["text"] * 100_000)
SLICES = {
    "array": NUMBERS[500_000:500_010],
    "chunked array": pyarrow.chunked_array([NUMBERS, NUMBERS])[999_995:1_000_005],
    "table": pyarrow.table({"a": NUMBERS})[10:20],
    "record batch": pyarrow.record_batch({"a": NUMBERS})[10:20],
    "strings": TEXTS[10:20],
    "lists": pyarrow.array([[1, 2], None] * 50_000)[10:20],
    "structs": pyarrow.array([{"a": 1}] * 100_000)[10:20],
    "categories": TEXTS.dictionary_encode()[10:20],
    "pandas on Arrow": pandas.Series(TEXTS, dtype=pandas.ArrowDtype(pyarrow.string()))[10:20],
    "polars": polars.Series(range(1_000_000))[10:20],
    "numpy": numpy.arange(1_000_000)[10:20],
}


@pytest.mark.parametrize("kind", SLICES)
def test_a_slice_is_stored_without_the_rest(kind: str) -> None:
    value = SLICES[kind]
    data = encoded(CODEC, [value])
    assert len(data) < 4_000
    (loaded,) = CODEC.decode(data)
    assert type(loaded) is type(value)
    equal = loaded.equals(value) if hasattr(value, "equals") else (loaded == value).all()
    assert equal
