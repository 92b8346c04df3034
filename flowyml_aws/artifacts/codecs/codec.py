"""The interface of codecs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

from flowyml_aws.artifacts.content import Content

__all__ = ["AnyCodec", "Codec", "FileCodec", "TrustingCodec"]


class Codec(Protocol):
    """Encodes values of some types to bytes, and decodes them.

    Packages register codecs under the entry point group `flowyml_aws.codecs`.

    Attributes:
        name: Unique name, without a slash.
        version: Version of the format, incremented when the format changes. To keep values of an
            older version readable, register a codec for that version too.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> int: ...

    def accepts(self, value: Any) -> bool:
        """Return whether the value is decoded to the same value. Must be fast."""

    def encode(self, value: Any) -> Content:
        """Return the value's bytes, preferably as views of its own buffers."""

    def decode(self, data: memoryview) -> Any:
        """Return the value of verified bytes. Any exception means that the bytes are invalid.

        The memory is writable and not shared, so the value may keep views of it.
        """


@runtime_checkable
class FileCodec(Protocol):
    """A codec for values on disk, whose bytes need not fit into memory."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> int: ...

    def accepts(self, value: Any) -> bool:
        """Return whether the value is decoded to the same value. Must be fast."""

    def encode(self, value: Any) -> Content:
        """Return the value's bytes, as content with a `filename`."""

    def decode_file(self, source: Path, target: Path) -> Any:
        """Return the value of a file of verified bytes.

        Args:
            source: File with the bytes. It may be moved; otherwise it is deleted.
            target: Path for the value under its own name, in an empty folder.
        """


@runtime_checkable
class TrustingCodec(Protocol):
    """A codec whose decoding can run code that the bytes contain."""

    @property
    def trusts(self) -> str:
        """Reason why decoding can run code, for the error message."""


AnyCodec: TypeAlias = Codec | FileCodec
