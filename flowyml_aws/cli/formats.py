"""File formats of values by the ending of the file, for `flowyml-aws get --out`.

A value is written by its own library, which is imported already.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import cloudpickle
from pydantic import BaseModel

__all__ = ["ENDINGS", "Format", "as_json", "formats_of"]

Format: TypeAlias = tuple[str, Callable[[Path], object]]
"""Name of a format, and the function that writes the value to a file."""

_PICTURES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".svg": "SVG", ".pdf": "PDF"}

ENDINGS = {
    ".csv": "CSV",
    ".parquet": "Parquet",
    ".arrow": "Arrow",
    ".feather": "Feather",
    ".json": "JSON",
    ".npy": "NPY",
    **_PICTURES,
    ".pkl": "pickle",
    ".pickle": "pickle",
}
"""Names of the formats that an ending selects."""


def formats_of(value: Any) -> Mapping[str, Format]:
    """Return the formats in which a value can be written, by ending."""
    own = {
        ending: write
        for find in (_pandas, _polars, _pyarrow, _numpy, _picture, _json)
        for ending, write in find(value).items()
    }
    own |= dict.fromkeys((".pkl", ".pickle"), lambda out: out.write_bytes(cloudpickle.dumps(value)))
    return {ending: (ENDINGS[ending], write) for ending, write in own.items()}


def as_json(value: Any) -> str | None:
    """Return a value as JSON, or None if it would be read back as another value."""
    try:
        text = json.dumps(value, indent=1, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return None
    # Tuples, and keys that are not strings, would be read back as other types.
    return text if json.loads(text) == value else None


_Writers: TypeAlias = dict[str, Callable[[Path], object]]


def _pandas(value: Any) -> _Writers:
    pandas = sys.modules.get("pandas")
    if pandas is None or not isinstance(value, pandas.DataFrame | pandas.Series):
        return {}
    index = value.index
    has_index = not (type(index) is pandas.RangeIndex and index.name is None)
    frame = value if value.ndim == 2 else value.to_frame()
    return {
        ".csv": lambda out: value.to_csv(out, index=has_index),
        ".parquet": lambda out: frame.to_parquet(out, engine="pyarrow"),
        ".arrow": lambda out: frame.to_feather(out),
        ".feather": lambda out: frame.to_feather(out),
        ".json": lambda out: frame.to_json(out, orient="records", force_ascii=False),
    }


def _polars(value: Any) -> _Writers:
    polars = sys.modules.get("polars")
    kinds = () if polars is None else (polars.DataFrame, polars.LazyFrame, polars.Series)
    if not isinstance(value, kinds):
        return {}
    frame = value.to_frame() if hasattr(value, "to_frame") else value.lazy().collect()
    return {
        ".csv": lambda out: frame.write_csv(out),
        ".parquet": lambda out: frame.write_parquet(out),
        ".arrow": lambda out: frame.write_ipc(out),
        ".feather": lambda out: frame.write_ipc(out),
        ".json": lambda out: frame.write_json(out),
    }


def _pyarrow(value: Any) -> _Writers:
    pyarrow = sys.modules.get("pyarrow")
    if pyarrow is None or not isinstance(value, pyarrow.Table | pyarrow.RecordBatch):
        return {}
    is_batch = isinstance(value, pyarrow.RecordBatch)
    table = pyarrow.Table.from_batches([value]) if is_batch else value

    def write_csv(out: Path) -> None:
        from pyarrow import csv

        csv.write_csv(table, out)

    def write_parquet(out: Path) -> None:
        from pyarrow import parquet

        parquet.write_table(table, out)

    def write_feather(out: Path) -> None:
        from pyarrow import feather

        feather.write_feather(table, str(out))

    return {
        ".csv": write_csv,
        ".parquet": write_parquet,
        ".arrow": write_feather,
        ".feather": write_feather,
    }


def _numpy(value: Any) -> _Writers:
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.ndarray | numpy.generic):
        return {}

    def write(out: Path) -> None:
        with out.open("wb") as file:  # otherwise, numpy may add an ending to the name
            numpy.save(file, value, allow_pickle=False)

    return {".npy": write}


def _picture(value: Any) -> _Writers:
    image = sys.modules.get("PIL.Image")
    if image is not None and isinstance(value, image.Image):
        return {ending: value.save for ending in _PICTURES if ending != ".svg"}
    figure = sys.modules.get("matplotlib.figure")
    if figure is not None and isinstance(value, figure.Figure):
        return dict.fromkeys(_PICTURES, value.savefig)
    return {}


def _json(value: Any) -> _Writers:
    if isinstance(value, BaseModel):
        return {".json": lambda out: out.write_text(value.model_dump_json(indent=1), "utf-8")}
    text = as_json(value)
    return {} if text is None else {".json": lambda out: out.write_text(text, "utf-8")}
