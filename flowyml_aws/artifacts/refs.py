"""Where a value lies and what it is."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import NonNegativeInt, StringConstraints

from flowyml_aws.artifacts.documents import Document
from flowyml_aws.core.cache_key import digest_of_facts

__all__ = ["ArtifactRef", "Compression", "ItemBytes"]

ItemBytes: TypeAlias = Literal[1, 2, 4, 8, 16]


class Compression(Document):
    """How a stored object holds its value's bytes: as zstd frames, one after the other.

    Attributes:
        size_bytes: Of the value.
        frames: Bytes of each frame.
        item_bytes: More than 1 where frames hold numbers of so many bytes as `shuffle.py` puts
            them, in pieces of `content.CHUNK_BYTES`.
    """

    size_bytes: NonNegativeInt
    frames: tuple[NonNegativeInt, ...]
    item_bytes: ItemBytes = 1


class ArtifactRef(Document):
    """A stored value.

    Attributes:
        uri: The object, `s3://…` or `file:///…`.
        sha256: Digest by the rule of `content.py`, in hex.
        size_bytes: Bytes of the stored object.
        codec: What reads it, as `<name>/<version>`.
        filename: Name of the file or folder that it is, where it is one. It is not in the bytes,
            so that the stored object is the file itself.
        compression: None where the object is the value's bytes themselves.
    """

    uri: str
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    size_bytes: NonNegativeInt
    codec: str
    filename: str | None = None
    compression: Compression | None = None

    @property
    def value_bytes(self) -> int:
        """Bytes of the value itself."""
        return self.size_bytes if self.compression is None else self.compression.size_bytes

    @property
    def identity(self) -> str:
        """Digest of all that makes the value, in hex: the same bytes may be a text or a file."""
        how = None if self.compression is None else self.compression.item_bytes
        return digest_of_facts([self.sha256, self.codec, self.filename, how])
