"""Previews of stored values. Values whose decoding could run code are not loaded."""

from __future__ import annotations

import base64
import json
import math
import tempfile
from pathlib import Path
from typing import Any

from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.artifacts.values import load_value
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.report.data import Preview

__all__ = ["MAX_IMAGE_BYTES", "MAX_VALUE_BYTES", "preview_of", "value_preview"]

MAX_VALUE_BYTES = 8 * 2**20
"""Size of the largest value that is loaded for a preview."""
MAX_IMAGE_BYTES = 32 * 1024
"""Size of the largest image in a report."""
_MAX_TEXT, _MAX_CELL, _ROWS, _COLUMNS = 2000, 60, 8, 12
# Codecs of this package that only read data. Those of other packages could run anything.
_SAFE = frozenset(
    ("arrow", "bytes", "file", "json", "numpy", "numpy-scalar", "pandas", "polars", "text")
)
_IMAGES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
)


def preview_of(store: ArtifactStore, ref: ArtifactRef, asset: str) -> Preview:
    """Return the preview of a stored value, or the reason why there is none.

    Args:
        store: Store of the value.
        ref: Reference to the value.
        asset: Name of the asset.
    """
    name = ref.codec.partition("/")[0]
    if name not in _SAFE:
        return _without(f"values of codec {ref.codec} are not loaded for a report")
    if max(ref.value_bytes, ref.size_bytes) > MAX_VALUE_BYTES:
        return _without(f"larger than {MAX_VALUE_BYTES // 2**20} MiB")
    with tempfile.TemporaryDirectory() as folder:
        try:
            value = load_value(store, ref, asset, Path(folder), allow_pickle=False)
            return value_preview(value)
        except FlowymlError as error:
            return _without(error.why)
        except Exception as error:  # the library of the value can raise anything
            return _without(f"{type(error).__name__}: {error}")


def value_preview(value: Any) -> Preview:
    """Return the preview of a value: table, array, image, text or JSON."""
    if isinstance(value, Path):
        return _file_preview(value)
    if isinstance(value, bytes):
        return _bytes_preview(value)
    if isinstance(value, str):
        return Preview(kind="text", text=_cut(value, _MAX_TEXT))
    kind = type(value).__module__.partition(".")[0]
    if kind == "numpy":
        return _array_preview(value)
    if kind in ("pandas", "polars", "pyarrow"):
        return _table_preview(value, kind)
    text = json.dumps(value, indent=1, ensure_ascii=False, default=repr)
    return Preview(kind="text", text=_cut(text, _MAX_TEXT))


def _file_preview(path: Path) -> Preview:
    with path.open("rb") as file:
        return _bytes_preview(file.read(MAX_VALUE_BYTES))


def _bytes_preview(data: bytes) -> Preview:
    is_webp = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    mime = next((mime for magic, mime in _IMAGES if data.startswith(magic)), None)
    mime = "image/webp" if is_webp else mime
    if mime is not None and len(data) <= MAX_IMAGE_BYTES:
        return Preview(kind="image", image=f"data:{mime};base64,{base64.b64encode(data).decode()}")
    if mime is not None:
        return _without(f"an image of {len(data):,} bytes, more than {MAX_IMAGE_BYTES:,}")
    head = data[: 4 * _MAX_TEXT]
    if b"\0" in head:
        return _without("binary data")
    return Preview(kind="text", text=_cut(head.decode(errors="replace"), _MAX_TEXT))


def _array_preview(value: Any) -> Preview:
    import numpy

    array = numpy.asarray(value)
    rows = [("type", str(array.dtype)), ("shape", " × ".join(map(str, array.shape)) or "scalar")]
    if array.size and array.dtype.kind in "biuf":
        numbers = array.astype("float64")
        finite = numbers[numpy.isfinite(numbers)]
        if finite.size:
            rows += [
                ("minimum", _number(finite.min())),
                ("mean", _number(finite.mean())),
                ("maximum", _number(finite.max())),
                ("standard deviation", _number(finite.std())),
            ]
        if finite.size < array.size:
            rows.append(("not finite", f"{array.size - finite.size:,}"))
    head = numpy.array2string(array.ravel()[:10], threshold=10, precision=4)
    rows.append(("first values", _cut(head, 200)))
    return Preview(kind="array", rows=tuple(rows), shape=tuple(array.shape))


def _table_preview(value: Any, kind: str) -> Preview:
    if kind == "pandas":
        if getattr(value, "ndim", 0) == 1:
            value = value.to_frame()
        if not hasattr(value, "columns"):
            return Preview(kind="text", text=_cut(str(value), _MAX_TEXT))
        head = value.iloc[:_ROWS, :_COLUMNS]
        columns = [f"{name}\n{dtype}" for name, dtype in head.dtypes.items()]
        rows = [list(map(str, row)) for row in head.itertuples(index=False, name=None)]
        shape = value.shape
    elif kind == "polars":
        if not hasattr(value, "columns"):
            value = value.to_frame()
        head = value[:_ROWS, :_COLUMNS]
        columns = [f"{name}\n{dtype}" for name, dtype in head.schema.items()]
        rows = [list(map(str, row)) for row in head.rows()]
        shape = value.shape
    else:
        if not hasattr(value, "column_names"):
            return Preview(kind="text", text=_cut(str(value), _MAX_TEXT))
        head = value.slice(0, _ROWS).select(value.column_names[:_COLUMNS])
        columns = [f"{field.name}\n{field.type}" for field in head.schema]
        rows = [[str(cell.as_py()) for cell in row] for row in zip(*head.columns, strict=True)]
        shape = (value.num_rows, value.num_columns)
    return Preview(
        kind="table",
        columns=tuple(_cut(column, _MAX_CELL) for column in columns),
        rows=tuple(tuple(_cut(cell, _MAX_CELL) for cell in row) for row in rows),
        shape=tuple(shape),
    )


def _without(reason: str) -> Preview:
    return Preview(kind="none", text=_cut(reason, 300))


def _number(value: Any) -> str:
    number = float(value)
    return f"{number:.6g}" if math.isfinite(number) else str(number)


def _cut(text: str, length: int) -> str:
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= length else f"{text[:length]}…"
