"""Where a value lies and what it is."""

from __future__ import annotations

from flowyml_aws.artifacts.documents import Document

__all__ = ["ArtifactRef"]


class ArtifactRef(Document):
    """A stored value.

    Attributes:
        uri: The object, `s3://…` or `file:///…`.
        sha256: Digest by the rule of `content.py`, in hex.
        size_bytes: Bytes of the stored object.
        codec: What reads it, as `<name>/<version>`.
    """

    uri: str
    sha256: str
    size_bytes: int
    codec: str
