"""Syntax of pip's requirements files."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

__all__ = ["decode", "logical_lines"]

# UTF-32 first: its little-endian mark begins with that of UTF-16.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CODING = re.compile(rb"#.*?coding[:=]\s*([-\w.]+)")


def decode(data: bytes) -> str:
    """Return the text of a requirements file, as pip decodes it.

    A byte order mark selects the encoding, then a comment on one of the first two lines (PEP 263).
    The default is UTF-8. pip falls back to the encoding of the locale, but the result must not
    depend on the machine.

    Raises:
        UnicodeDecodeError: The data has another encoding.
        LookupError: The encoding in the comment is unknown.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding)
    for line in data.split(b"\n")[:2]:
        if (comment := _CODING.match(line)) is not None:
            return data.decode(comment[1].decode("ascii"))
    return data.decode("utf-8")


def logical_lines(text: str) -> Iterator[str]:
    """Yield the lines without comments and blank lines; continued lines are joined."""
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        if stripped := re.sub(r"(^|\s)#.*$", "", line).strip():
            yield " ".join(stripped.split())
