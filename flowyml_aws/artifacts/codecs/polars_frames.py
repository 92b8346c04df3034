"""The codec for polars' frames and series: an Arrow IPC stream."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

from flowyml_aws.artifacts.codecs.arrow import has_pyarrow, is_second, read_stream, write_stream
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
    """`polars.DataFrame` and `polars.Series` of every type that Arrow has too.

    Objects and 128-bit integers go by pickle, and so does everything where pyarrow is missing.
    """

    name = "polars"
    version = 1

    def accepts(self, value: Any) -> bool:
        """Whether it is a frame or series whose types Arrow has."""
        polars = sys.modules.get("polars")
        if polars is None or type(value) not in (polars.DataFrame, polars.Series):
            return False
        if type(value) is polars.DataFrame:
            kinds = value.dtypes
            return bool(kinds or not value.height) and has_pyarrow() and all(map(_is_held, kinds))
        return has_pyarrow() and _is_held(value.dtype)

    def encode(self, value: Any) -> Content:
        """Polars' own buffers, in a stream."""
        import polars

        alone = isinstance(value, polars.Series)
        frame = value.to_frame() if alone else value
        table = frame.to_arrow(compat_level=polars.CompatLevel.newest())
        return Content(*write_stream(table, {"kind": _KINDS[alone]}))

    def decode(self, data: memoryview) -> polars.DataFrame | polars.Series:
        """A frame or series over the loaded memory, where its alignment allows that."""
        import polars

        table, described = read_stream(data)
        frame = polars.from_arrow(table, rechunk=False)
        alone = is_second(described, _KINDS)
        if not isinstance(frame, polars.DataFrame):
            raise ValueError("it is no frame")
        return frame.to_series() if alone else frame


def _is_held(kind: Any) -> bool:
    name = kind.__name__ if isinstance(kind, type) else type(kind).__name__
    if name == "List":
        return _is_held(kind.inner)
    if name == "Array":
        return bool(kind.size) and _is_held(kind.inner)
    if name == "Struct":
        return bool(kind.fields) and all(_is_held(field.dtype) for field in kind.fields)
    return _FLAT.fullmatch(name) is not None
