"""Plain values as bytes: different for different values and types, equal in every process."""

from __future__ import annotations

__all__ = ["plain"]


def plain(value: object) -> bytes | None:
    """A value of exactly a built-in plain type as self-delimiting bytes; None for any other."""
    kind = type(value)
    if kind is str:
        return _framed(b"s", value.encode("utf-8", "surrogatepass"))  # type: ignore[attr-defined]
    if kind is int:
        return _framed(b"i", b"%x" % value)  # type: ignore[operator]
    if value is None or kind is bool or value is Ellipsis or value is NotImplemented:
        return _framed(b"n", repr(value).encode())
    if kind is float or kind is complex:
        return _framed(b"f", f"{kind.__name__} {value!r}".encode())
    if kind is bytes or kind is bytearray:
        return _framed(b"b" if kind is bytes else b"B", bytes(value))  # type: ignore[call-overload]
    return None


def _framed(tag: bytes, data: bytes) -> bytes:
    return b"%b%d:%b" % (tag, len(data), data)
