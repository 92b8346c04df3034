"""What turns values of some kind into bytes and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

from flowyml_aws.artifacts.content import Content

__all__ = ["AnyCodec", "Codec", "FileCodec", "TrustingCodec"]


class Codec(Protocol):
    """Bytes for the values of one kind.

    A codec of your own is announced under the entry point group `flowyml_aws.codecs`.

    Attributes:
        name: Unique among codecs, without a slash.
        version: Of the format, counted up when it changes. To go on reading values of an older
            version, announce a codec for it too.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> int: ...

    def accepts(self, value: Any) -> bool:
        """Whether this value comes back the same. Asked for every value: be quick."""

    def encode(self, value: Any) -> Content:
        """The value's bytes, best as views of its own buffers."""

    def decode(self, data: memoryview) -> Any:
        """The value of verified bytes; any exception means that they are no such value.

        The memory is writable, and nobody else's: the value may keep views of it.
        """


@runtime_checkable
class FileCodec(Protocol):
    """Like `Codec`, for values that live on disk: their bytes never have to fit into memory."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> int: ...

    def accepts(self, value: Any) -> bool:
        """Whether this value comes back the same. Asked for every value: be quick."""

    def encode(self, value: Any) -> Content:
        """The value's bytes, with the content's `filename` set."""

    def decode_file(self, landed: Path, target: Path) -> Any:
        """The value of a file of verified bytes.

        Args:
            landed: The bytes; may be moved, is removed if it is not.
            target: A path in an empty folder where the value belongs, under its own name.
        """


@runtime_checkable
class TrustingCodec(Protocol):
    """What a codec says beside the rest if reading its bytes can run code that stands in them."""

    @property
    def trusts(self) -> str:
        """How that comes, for whoever does not want it."""


AnyCodec: TypeAlias = Codec | FileCodec
