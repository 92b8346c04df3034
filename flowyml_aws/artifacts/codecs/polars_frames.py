"""Codec for polars frames and series, stored as an Arrow IPC stream."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

from flowyml_aws.artifacts.codecs.arrow import (
    has_pyarrow,
    is_second_kind,
    read_stream,
    write_stream,
)
from flowyml_aws.artifacts.content import Content

if TYPE_CHECKING:
    import polars

__all__ = ["PolarsCodec"]

_KINDS = ("polars.DataFrame", "polars.Series")
_FLAT = re.compile(
    "U?Int(8|16|32|64)|Float(32|64)|Boolean|String|Binary|Null|Date|Time|Datetime|Duration|Decimal"
    "|Enum|Categorical"
)


class PolarsCodec:
    """Codec for `polars.DataFrame` and `polars.Series` of types that Arrow supports.

    Objects, 128-bit integers and names with NUL are pickled. Without pyarrow everything is pickled.
    """

    name = "polars"
    version = 1

    def accepts(self, value: Any) -> bool:
        """Return whether the value is a frame or series whose types Arrow supports."""
        polars = sys.modules.get("polars")
        if polars is None or type(value) not in (polars.DataFrame, polars.Series):
            return False
        if not has_pyarrow() or not all(map(_is_name, _names(value))):
            return False
        if type(value) is polars.DataFrame:
            kinds = value.dtypes
            return bool(kinds or not value.height) and all(map(_is_supported, kinds))
        return _is_supported(value.dtype)

    def encode(self, value: Any) -> Content:
        """Return the buffers of polars in a stream."""
        import polars

        is_series = isinstance(value, polars.Series)
        frame = value.to_frame() if is_series else value
        table = frame.to_arrow(compat_level=polars.CompatLevel.newest())
        return Content(*write_stream(table, {"kind": _KINDS[is_series]}))

    def decode(self, data: memoryview) -> polars.DataFrame | polars.Series:
        """Return a frame or series in the loaded memory, if its alignment allows that."""
        import polars

        table, description = read_stream(data)
        is_series = is_second_kind(description, _KINDS)
        # polars would replace an empty name, maybe by the name of another column.
        numbered = table.rename_columns([str(at) for at in range(table.num_columns)])
        frame = polars.from_arrow(numbered, rechunk=False)
        if not isinstance(frame, polars.DataFrame):
            raise ValueError("it is not a frame")
        frame.columns = table.column_names
        return frame.to_series() if is_series else frame


def _names(value: Any) -> list[str]:
    return [value.name] if hasattr(value, "name") else value.columns


def _is_name(name: str) -> bool:
    return "\0" not in name  # Arrow's names end there


def _is_supported(kind: Any) -> bool:
    name = kind.__name__ if isinstance(kind, type) else type(kind).__name__
    if name == "List":
        return _is_supported(kind.inner)
    if name == "Array":
        return bool(kind.size) and _is_supported(kind.inner)
    if name == "Struct":
        return bool(kind.fields) and all(
            _is_name(field.name) and _is_supported(field.dtype) for field in kind.fields
        )
    return _FLAT.fullmatch(name) is not None
