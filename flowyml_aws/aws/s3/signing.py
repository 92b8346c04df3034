"""Signatures of uploads whose digest is known, so that their bytes are not hashed again."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, cast

from botocore.auth import AUTH_TYPE_MAPS, S3SigV4Auth

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

__all__ = ["sign_with_known_digests"]

_SIGNER = "s3v4-known-digest"
_CHECKSUM = "x-amz-checksum-sha256"


class _KnownDigestAuth(S3SigV4Auth):
    """Signature Version 4 of a request whose checksum header contains the digest of its body.

    botocore hashes the body for `x-amz-content-sha256`, once more for each attempt.
    """

    def payload(self, request: Any) -> str:
        checksum = request.headers.get(_CHECKSUM)
        if checksum is None:
            return str(super().payload(request))
        return base64.b64decode(checksum).hex()


def sign_with_known_digests(client: S3Client) -> None:
    """Sign uploads of a client with their `ChecksumSHA256` if they have one.

    S3 verifies the body by both headers. Other signers than Signature Version 4, such as that of
    a directory bucket, are kept.
    """
    AUTH_TYPE_MAPS[_SIGNER] = _KnownDigestAuth
    events = cast("Any", client.meta.events)  # its type does not expect results of handlers
    for operation in ("PutObject", "UploadPart"):
        name = f"choose-signer.s3.{operation}"
        events.register(name, _choose_signer, unique_id=f"{_SIGNER}-{operation}")


def _choose_signer(signature_version: object, **_: Any) -> str | None:
    return _SIGNER if signature_version in ("v4", "s3v4") else None
