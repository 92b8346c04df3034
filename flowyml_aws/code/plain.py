"""Plain values as bytes: distinct for distinct values and types, equal in every process."""

from __future__ import annotations

__all__ = ["plain"]

_PLAIN = frozenset(
    {str, int, bool, float, complex, bytes, bytearray}
    | {type(None), type(Ellipsis), type(NotImplemented)}
)


def plain(value: object) -> bytes | None:
    """Return a value of a plain built-in type as self-delimiting bytes; None for other types."""
    if type(value) not in _PLAIN:
        return None
    if isinstance(value, str):
        return _framed(b"s", value.encode("utf-8", "surrogatepass"))
    if isinstance(value, bytes | bytearray):
        return _framed(b"b" if isinstance(value, bytes) else b"B", bytes(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return _framed(b"i", b"%x" % value)
    return _framed(b"n", f"{type(value).__name__} {value!r}".encode())


def _framed(tag: bytes, data: bytes) -> bytes:
    return b"%b%d:%b" % (tag, len(data), data)
