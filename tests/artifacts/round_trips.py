"""Rows of the table in `docs/round-trips.md`: values, and what loading restores of them."""

from __future__ import annotations

import asyncio
import collections
import datetime
import decimal
import enum
import fractions
import io
import math
import struct
import threading
import types
import uuid
import zoneinfo
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy
import pandas
import polars
import pyarrow
import pyarrow.dataset
import pytest
import xgboost
from PIL import Image
from pydantic import BaseModel
from sklearn.linear_model import LinearRegression

from tests.artifacts.generic_models import Box

__all__ = ["ROWS", "Kept", "KeptBut", "Refused", "same"]


@dataclass(frozen=True)
class Kept:
    """A value that is kept exactly.

    Attributes:
        by_pickle: Whether plain pickle keeps it, too.
    """

    make: Callable[[Path], Any]
    by_pickle: bool = True


@dataclass(frozen=True)
class KeptBut:
    """A value that is kept but for one property.

    Attributes:
        differs: Returns whether a loaded value and the original differ in nothing else.
    """

    make: Callable[[Path], Any]
    differs: Callable[[Any, Any], bool]


@dataclass(frozen=True)
class Refused:
    """A value that is refused.

    Attributes:
        fix: Part of the fix that the error proposes.
    """

    make: Callable[[Path], Any]
    fix: str


class Color(enum.Enum):
    RED = 1


class Point(NamedTuple):
    x: int


class Settings(BaseModel):
    rate: float


@dataclass
class Result:
    score: float


class Node:
    def __init__(self) -> None:
        self.itself = self


def nan(payload: int) -> float:
    return float(struct.unpack("<d", struct.pack("<Q", 0x7FF8_0000_0000_0000 | payload))[0])


def deep(_: Path) -> Any:
    value: list[Any] = []
    for _number in range(20_000):
        value = [value]
    return value


def coroutine(_: Path) -> Any:
    # Never awaited, and closed here: closing twice does nothing.
    result = asyncio.sleep(0)
    result.close()
    return result


def closure(_: Path) -> Any:
    number = 41
    return lambda: number + 1


def file(folder: Path) -> Path:
    path = folder / "job" / "rows.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text("a\n1\n")
    return path


def executable(folder: Path) -> Path:
    path = file(folder)
    path.chmod(0o755)
    return path


def folder_with_link(folder: Path) -> Path:
    file(folder)
    (folder / "job" / "latest").symlink_to("rows.csv")
    return folder / "job"


def folder_with_link_out(folder: Path) -> Path:
    (folder / "out").mkdir()
    (folder / "out" / "link").symlink_to(file(folder))
    return folder / "out"


def strided(_: Path) -> Any:
    return numpy.arange(24).reshape(2, 3, 4).transpose(1, 0, 2)


def read_only(_: Path) -> Any:
    array = numpy.arange(3000)
    array.flags.writeable = False
    return array


def memory_map(folder: Path) -> Any:
    array = numpy.memmap(folder / "map", dtype=numpy.int64, mode="w+", shape=(4,))
    array[:] = 7
    return array


def parquet(folder: Path) -> Path:
    polars.DataFrame({"a": [1, 2]}).write_parquet(folder / "rows.parquet")
    return folder / "rows.parquet"


def booster(_: Path) -> xgboost.Booster:
    numbers = numpy.arange(40.0).reshape(20, 2)
    return xgboost.train({"max_depth": 1}, xgboost.DMatrix(numbers, numbers[:, 0]), 2)


def picture(folder: Path) -> Any:
    Image.new("RGB", (2, 2), "red").save(folder / "picture.png")
    return Image.open(folder / "picture.png")


def predictions(model: xgboost.Booster) -> Any:
    return model.predict(xgboost.DMatrix(numpy.arange(40.0).reshape(20, 2)))


def xarray_dataset(_: Path) -> Any:
    xarray = pytest.importorskip("xarray")
    return xarray.Dataset({"a": ("x", numpy.arange(5.0))}, attrs={"unit": "m"})


def opened_xarray(folder: Path) -> Any:
    xarray_dataset(folder).to_netcdf(folder / "rows.nc")
    return pytest.importorskip("xarray").open_dataset(folder / "rows.nc")


def hugging_face(_: Path) -> Any:
    return pytest.importorskip("datasets").Dataset.from_dict({"a": [1, 2]})


def hugging_face_files(folder: Path) -> Any:
    hugging_face(folder).save_to_disk(str(folder / "saved"))
    return pytest.importorskip("datasets").load_from_disk(str(folder / "saved"))


def tensor(_: Path) -> Any:
    return pytest.importorskip("torch", reason="PyTorch is not installed (up to 3 GB)").ones(3)


FRAME = {"a": [1, None], "b": ["x", "y"], "c": [[1, 2], []]}
TABLE = pyarrow.table(FRAME)

ROWS: dict[str, Kept | KeptBut | Refused] = {
    # plain Python
    "`None`, `bool`, `int`, `complex`": Kept(lambda _: [None, True, 2**3000, 1j]),
    "`float`, with the bits of NaN": Kept(lambda _: [0.1, -0.0, math.inf, nan(1), -nan(3)]),
    "`str`, with lone surrogates": Kept(lambda _: "ä\ud800\0"),
    "`bytes`, `bytearray`": Kept(lambda _: (b"\0\xff", bytearray(b"x"))),
    "`list`, `tuple`, `dict`, `set`, `frozenset`, `deque`, `OrderedDict`, `defaultdict`": Kept(
        lambda _: [
            (1, [2]),
            {2: "a", (1,): {3, 4}},
            frozenset({1}),
            collections.deque([1], 5),
            collections.OrderedDict(b=1, a=2),
            collections.defaultdict(list, a=[1]),
        ]
    ),
    "`Decimal`, `Fraction`, `UUID`, `range`, `slice`": Kept(
        lambda _: (
            decimal.Decimal("1.10"),
            fractions.Fraction(1, 3),
            uuid.UUID(int=1),
            range(0, 9, 2),
        )
    ),
    "dates and times, with time zones": Kept(
        lambda _: (
            datetime.date(2024, 2, 29),
            datetime.timedelta(microseconds=1),
            datetime.datetime(2024, 3, 31, 2, 30, tzinfo=zoneinfo.ZoneInfo("UTC"), fold=1),
        )
    ),
    "enums, named tuples, dataclasses, pydantic models": Kept(
        lambda _: (Color.RED, Point(1), Result(0.5), Settings(rate=0.1))
    ),
    "a parametrized pydantic model (`Box[int]`)": Kept(lambda _: Box[int](item=3)),
    "classes and functions of a module": Kept(lambda _: (Result, nan)),
    "a lambda or closure": KeptBut(closure, lambda loaded, value: loaded() == value()),
    "two references to one object": Kept(lambda _: [shared := [1], shared]),
    "an object that refers to itself": KeptBut(
        lambda _: Node(), lambda loaded, _: loaded.itself is loaded
    ),
    "`BytesIO`, `StringIO`": KeptBut(
        lambda _: [io.BytesIO(b"ab"), io.StringIO("ab")],
        lambda loaded, _: [stream.read() for stream in loaded] == [b"ab", "ab"],
    ),
    "lists nested in 20,000 lists": Refused(deep, "flatter value"),
    "a generator or iterator": Refused(lambda _: (n for n in "ab"), "a list of its items"),
    "a coroutine": Refused(coroutine, "await it"),
    "an open file": Refused(lambda folder: file(folder).open(), "return its Path"),
    "a lock, a connection": Refused(lambda _: threading.Lock(), "plain data"),
    # files
    "a `Path` of a file": KeptBut(file, lambda loaded, value: same_files(loaded, value)),
    "a `Path` of an executable file": KeptBut(
        executable, lambda loaded, value: same_files(loaded, value)
    ),
    "a `Path` of a folder, with links to its own files": KeptBut(
        folder_with_link,
        lambda loaded, value: (
            same_files(loaded, value) and loaded.joinpath("latest").readlink() == Path("rows.csv")
        ),
    ),
    "a `Path` of a folder with links to other files": KeptBut(
        folder_with_link_out,
        lambda loaded, value: (
            same_files(loaded, value) and not loaded.joinpath("link").is_symlink()
        ),
    ),
    "a `Path` that names nothing, as an output": Refused(
        lambda folder: folder / "missing", "write the file before"
    ),
    "a `Path` of a file or folder inside another value": KeptBut(
        lambda folder: {"file": executable(folder), "all": folder_with_link(folder)},
        lambda loaded, value: (
            same_files(loaded["all"], value["all"])
            and loaded["file"] == loaded["all"] / "rows.csv"
            and loaded["all"].joinpath("latest").is_symlink()
        ),
    ),
    "a `Path` that names nothing, inside another value": Kept(lambda folder: [folder / "missing"]),
    "a `Path` inside another value that is or contains the working directory, the home folder, "
    "the folder of temporary files or Python": Refused(lambda _: [Path.home()], "str(path)"),
    "`PurePath`": Kept(lambda _: PurePosixPath("/etc/hosts")),
    # NumPy
    "`numpy.ndarray` in C or Fortran order, of any data type": Kept(
        lambda _: (
            numpy.arange(6, dtype=">i2").reshape(2, 3),
            numpy.asfortranarray(numpy.ones((3, 4))),
            numpy.array([(1, "a")], dtype=[("n", "i4"), ("s", "U3")]),
            numpy.array(["2024", "NaT"], dtype="M8[D]"),
            numpy.array([1, None, "a"], dtype=object),
        )
    ),
    "an array with other strides": KeptBut(
        strided,
        lambda loaded, value: loaded.flags.c_contiguous and numpy.array_equal(loaded, value),
    ),
    "a read-only array, as an output": KeptBut(
        read_only,
        lambda loaded, value: loaded.flags.writeable and numpy.array_equal(loaded, value),
    ),
    "a read-only array inside another value": Kept(lambda folder: [read_only(folder)]),
    "`numpy.memmap`, as an output": KeptBut(
        memory_map,
        lambda loaded, value: type(loaded) is numpy.ndarray and numpy.array_equal(loaded, value),
    ),
    "a NumPy scalar": Kept(lambda _: numpy.float32(0.1)),
    # pandas
    "`pandas.DataFrame`, `Series`, `Index`": Kept(
        lambda _: (
            pandas.DataFrame({"a": [1, None], "b": pandas.Categorical(["x", "y"])}, ["r", "s"]),
            pandas.Series([1, 2], pandas.date_range("2024", periods=2, tz="UTC"), name=("n", 1)),
            pandas.MultiIndex.from_tuples([("a", 1)], names=["x", None]),
        )
    ),
    "a frame with objects of any kind": Kept(
        lambda _: pandas.DataFrame({"a": [{"b": 1}, 1j], "c": ["x", None]})
    ),
    "`Float64` with NaN next to NA": Kept(
        lambda _: pandas.Series(
            pandas.arrays.FloatingArray(
                numpy.array([1.0, math.nan, 0.0]), numpy.array([False, False, True])
            )
        )
    ),
    # polars
    "`polars.DataFrame`, `Series`": Kept(
        lambda _: [polars.DataFrame(FRAME), polars.Series("a", ["x"], polars.Categorical)]
    ),
    "a polars frame with empty names, NUL in names, 128-bit integers or arrays of width 0": Kept(
        lambda _: polars.DataFrame(
            {
                "": polars.Series([1], dtype=polars.Int128),
                "column_0": [2],
                "a\0b": polars.Series([[]], dtype=polars.Array(polars.Int8, 0)),
            }
        ),
        by_pickle=False,
    ),
    "a polars frame with objects": KeptBut(
        lambda _: polars.DataFrame({"a": polars.Series([{1}], dtype=polars.Object)}),
        lambda loaded, value: (
            loaded.schema == value.schema and loaded["a"].to_list() == value["a"].to_list()
        ),
    ),
    "`polars.LazyFrame` of rows in memory": KeptBut(
        lambda _: polars.LazyFrame({"a": [1]}).filter(polars.col("a") > 0),
        lambda loaded, value: (
            loaded.explain() == value.explain() and loaded.collect().equals(value.collect())
        ),
    ),
    "`polars.LazyFrame` that scans files": KeptBut(
        lambda folder: polars.scan_parquet(parquet(folder)),
        lambda loaded, value: (
            "SCAN" not in loaded.explain() and loaded.collect().equals(value.collect())
        ),
    ),
    # Arrow
    "`pyarrow.Table`": KeptBut(
        lambda _: pyarrow.concat_tables([TABLE, TABLE]).replace_schema_metadata({"a": "b"}),
        lambda loaded, value: loaded.equals(value, check_metadata=True),
    ),
    "`pyarrow.RecordBatch`, `Array`, `ChunkedArray`, `Schema`": Kept(
        lambda _: (
            TABLE.to_batches()[0],
            pyarrow.array([1, None]),
            pyarrow.chunked_array([[1], [2, 3]]),
            TABLE.schema,
        )
    ),
    "a slice of a large Arrow array": Kept(lambda _: [pyarrow.array(range(100_000))[5:9]]),
    "a dataset of Arrow over files": Refused(
        lambda folder: pyarrow.dataset.dataset(parquet(folder)), "to_table()"
    ),
    # xarray, Hugging Face, dask: not installed in this project's tests
    "`xarray.Dataset`, `DataArray`": KeptBut(
        xarray_dataset, lambda loaded, value: loaded.identical(value)
    ),
    "a lazily opened `xarray.Dataset`": KeptBut(
        opened_xarray, lambda loaded, value: loaded.identical(value)
    ),
    "`datasets.Dataset` of rows in memory": KeptBut(
        hugging_face, lambda loaded, value: loaded.to_list() == value.to_list()
    ),
    "`datasets.Dataset` over files": KeptBut(
        hugging_face_files,
        lambda loaded, value: loaded.cache_files == [] and loaded.to_list() == value.to_list(),
    ),
    "`datasets.IterableDataset`": Refused(
        lambda folder: hugging_face(folder).to_iterable_dataset(), "datasets.Dataset"
    ),
    "a collection of dask": Refused(
        lambda _: pytest.importorskip("dask.array").ones(3), "compute()"
    ),
    # models and pictures
    "an estimator of scikit-learn": KeptBut(
        lambda _: LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0]),
        lambda loaded, value: same(vars(loaded), vars(value)),
    ),
    "`xgboost.Booster`": KeptBut(
        booster,
        lambda loaded, value: numpy.array_equal(predictions(loaded), predictions(value)),
    ),
    "`torch.Tensor`": KeptBut(tensor, lambda loaded, value: loaded.equal(value)),
    "`PIL.Image.Image`": KeptBut(
        picture, lambda loaded, value: (loaded.tobytes(), loaded.size) == (value.tobytes(), (2, 2))
    ),
}


def same(first: Any, second: Any) -> bool:
    """Return whether two values have the same types, structure and bits."""
    if type(first) is not type(second):
        return False
    for kinds, compare in _COMPARISONS:
        if isinstance(first, kinds):
            return compare(first, second)
    return bool(first == second)


def same_files(first: Path, second: Path) -> bool:
    """Return whether two paths name files or folders of equal names, contents and modes."""
    return first.name == second.name and dict(_files(first)) == dict(_files(second))


def _files(path: Path) -> Iterator[tuple[str, object]]:
    for inner in [path, *sorted(path.rglob("*"))]:
        content = inner.read_bytes() if inner.is_file() else None
        is_executable = bool(inner.stat().st_mode & 0o100)
        yield str(inner.relative_to(path)), (content, is_executable)


def _same_items(first: Any, second: Any) -> bool:
    shared = [first[0] is item for item in first] == [second[0] is item for item in second]
    return len(first) == len(second) and (not first or shared) and all(map(same, first, second))


def _same_arrays(first: Any, second: Any) -> bool:
    if (first.dtype, first.shape, first.flags.writeable) != (
        second.dtype,
        second.shape,
        second.flags.writeable,
    ):
        return False
    orders = first.flags.f_contiguous == second.flags.f_contiguous
    if first.dtype.hasobject:
        return orders and first.tolist() == second.tolist()
    return orders and first.tobytes() == second.tobytes()


def _same_pandas(first: Any, second: Any) -> bool:
    check: Any = getattr(pandas.testing, f"assert_{_PANDAS[type(first)]}_equal")
    check(first, second, check_exact=True)
    return type(first) is not pandas.Series or repr(first.array) == repr(second.array)


_PANDAS = {
    pandas.DataFrame: "frame",
    pandas.Series: "series",
    pandas.MultiIndex: "index",
}
_COMPARISONS: list[tuple[Any, Callable[[Any, Any], bool]]] = [
    (float, lambda first, second: struct.pack("<d", first) == struct.pack("<d", second)),
    ((numpy.ndarray, numpy.generic), _same_arrays),
    (tuple(_PANDAS), _same_pandas),
    ((polars.DataFrame, polars.Series), lambda a, b: _same_polars(a, b)),
    ((pyarrow.Table, pyarrow.RecordBatch), lambda a, b: a.equals(b, check_metadata=True)),
    (pyarrow.Array | pyarrow.ChunkedArray, lambda a, b: a.equals(b) and a.type == b.type),
    (types.FunctionType | type, lambda first, second: first is second),
    ((list, tuple, collections.deque), lambda first, second: _same_items(first, second)),
    (dict, lambda first, second: _same_items([*first.items()], [*second.items()])),
    (Result, lambda first, second: same(vars(first), vars(second))),
]


def _same_polars(first: Any, second: Any) -> bool:
    schema = first.schema == second.schema if hasattr(first, "schema") else True
    names = first.name == second.name if hasattr(first, "name") else True
    return schema and names and first.equals(second)
