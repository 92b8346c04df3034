"""References to stored values."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import NonNegativeInt, StringConstraints

from flowyml_aws.artifacts.documents import Document
from flowyml_aws.artifacts.layout import COPIES, artifact_key, artifact_pack_key

__all__ = [
    "ArtifactRef",
    "Compression",
    "ItemBytes",
    "PackPlace",
    "digest_of_facts",
    "join_part_digests",
    "value_identity",
]

_VERSION = "flowyml-aws cache 2"

_DIGEST_BYTES = 32

ItemBytes: TypeAlias = Literal[1, 2, 4, 8, 16]
Sha256: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Compression(Document):
    """Compression of a stored object: a sequence of zstd frames.

    Attributes:
        size_bytes: Size of the uncompressed value.
        frames: Size of each frame in bytes.
        item_bytes: Size of the numbers that were shuffled (see `shuffle.py`) in pieces of
            `content.CHUNK_BYTES`; 1 if none were.
    """

    size_bytes: NonNegativeInt
    frames: tuple[NonNegativeInt, ...]
    item_bytes: ItemBytes = 1


class PackPlace(Document):
    """The place of a value in a pack of small values (see `packs.py`).

    Attributes:
        sha256: Digest of the pack in hex.
        size_bytes: Size of the pack.
        offset: Start of the value in the pack.
    """

    sha256: Sha256
    size_bytes: NonNegativeInt
    offset: NonNegativeInt


class ArtifactRef(Document):
    """A reference to a stored value.

    Attributes:
        uri: URI of the object, `s3://…` or `file:///…`.
        sha256: Digest of the value's stored bytes in hex, as defined in `content.py`.
        size_bytes: Size of the value's stored bytes.
        codec: Codec that decodes the value, as `<name>/<version>`.
        filename: Name of the file or folder if the value is one. The stored bytes do not contain
            it, so that the object of a file is the file itself.
        compression: Compression of the stored bytes, or None if they are not compressed.
        pack: Place in the object if it is a pack; None if the value is the whole object.
        parts: Binary digests of the parts, one after the other, in base64: `sha256` is their
            digest. None for a value of one part, and in refs of earlier versions.
    """

    uri: str
    sha256: Sha256
    size_bytes: NonNegativeInt
    codec: str
    filename: str | None = None
    compression: Compression | None = None
    pack: PackPlace | None = None
    parts: str | None = None

    @property
    def part_digests(self) -> tuple[bytes, ...] | None:
        """Binary digest of each part; None if the ref does not contain them.

        Raises:
            ValueError: They are not in base64.
        """
        if self.parts is None:
            return None
        joined = base64.b64decode(self.parts, validate=True)
        starts = range(0, len(joined), _DIGEST_BYTES)
        return tuple(joined[start : start + _DIGEST_BYTES] for start in starts)

    @property
    def value_bytes(self) -> int:
        """Size of the uncompressed value."""
        return self.size_bytes if self.compression is None else self.compression.size_bytes

    @property
    def key(self) -> str:
        """Key of the object in its store."""
        key_of = artifact_key if self.pack is None else artifact_pack_key
        keys = [key_of(self.object_sha256, copy) for copy in range(COPIES)]
        return next((key for key in keys if self.uri.endswith(f"/{key}")), keys[0])

    @property
    def object_sha256(self) -> str:
        """Digest of the whole object in hex."""
        return self.sha256 if self.pack is None else self.pack.sha256

    @property
    def object_bytes(self) -> int:
        """Size of the whole object."""
        return self.size_bytes if self.pack is None else self.pack.size_bytes

    @property
    def offset(self) -> int:
        """Start of the value in the object."""
        return 0 if self.pack is None else self.pack.offset

    @property
    def identity(self) -> str:
        """Identity of the value, as `value_identity` defines it."""
        return value_identity(self.sha256, self.codec, self.filename, self.compression)


def join_part_digests(digests: Sequence[bytes]) -> str | None:
    """Return the digests of the parts of a value as `ArtifactRef.parts` contains them."""
    return base64.b64encode(b"".join(digests)).decode() if len(digests) > 1 else None


def value_identity(
    sha256: str, codec: str, filename: str | None, compression: Compression | None
) -> str:
    """Return the digest in hex of everything that defines a value, not only of its bytes.

    The same bytes can be a string or a file. See `ArtifactRef` for the arguments.
    """
    item_bytes = None if compression is None else compression.item_bytes
    return digest_of_facts([sha256, codec, filename, item_bytes])


_encode = json.JSONEncoder(separators=(",", ":")).encode  # one encoder for many thousands of keys


def digest_of_facts(facts: Any) -> str:
    """Return the SHA-256 digest of JSON values, as hex."""
    text = _encode([_VERSION, facts])
    return hashlib.sha256(text.encode()).hexdigest()
