"""Uploads are signed with the digests that are known, as botocore would sign them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, cast

import boto3
import pytest
from botocore import UNSIGNED
from botocore.awsrequest import AWSResponse
from botocore.config import Config

from flowyml_aws.aws.s3.signing import sign_with_known_digests
from flowyml_aws.aws.s3.uploads import as_base64

BODY = b"some bytes"
DIGEST = hashlib.sha256(BODY).digest()
KNOWN = {"ChecksumAlgorithm": "SHA256", "ChecksumSHA256": as_base64(DIGEST)}


class CountingBody(io.BytesIO):
    """A body that counts the bytes that are read."""

    count = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


class RawBody(io.BytesIO):
    def stream(self, **_: object) -> list[bytes]:
        return [self.read()]


def sent_headers(
    *, knows_digests: bool, body: Any = BODY, bucket: str = "bucket", **options: Any
) -> Mapping[str, Any]:
    """Return the headers of an upload by a new client; nothing is sent."""
    client = boto3.client(
        "s3",
        region_name="eu-west-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        aws_session_token="token",
        endpoint_url="https://storage.example",
        config=Config(signature_version=options.pop("signature_version", None)),
    )
    if knows_digests:
        sign_with_known_digests(client)
    requests = []

    def answer(request: Any, **_: Any) -> AWSResponse:
        requests.append(request)
        return cast("Any", AWSResponse)(request.url, 200, {}, RawBody(b""))

    cast("Any", client.meta.events).register("before-send.s3", answer)
    client.put_object(Bucket=bucket, Key="a b/ü", Body=body, **options)
    [request] = requests
    return {name.lower(): value for name, value in request.headers.items()}


@pytest.fixture
def _fixed_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime(2026, 1, 2, tzinfo=timezone.utc)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: now)


def test_a_known_digest_is_signed_and_the_body_not_read() -> None:
    body = CountingBody(BODY)

    headers = sent_headers(knows_digests=True, body=body, **KNOWN)

    assert headers["x-amz-content-sha256"] == DIGEST.hex().encode()
    assert body.count == 0


@pytest.mark.usefixtures("_fixed_time")
@pytest.mark.parametrize("options", [KNOWN, {}], ids=["known", "unknown"])
def test_the_signature_is_the_same_as_botocores(options: Mapping[str, Any]) -> None:
    of_botocore = sent_headers(knows_digests=False, **options)

    headers = sent_headers(knows_digests=True, **options)

    assert headers["authorization"] == of_botocore["authorization"]
    assert headers["x-amz-content-sha256"] == of_botocore["x-amz-content-sha256"]


def test_a_client_without_credentials_still_does_not_sign() -> None:
    headers = sent_headers(knows_digests=True, signature_version=UNSIGNED, **KNOWN)

    assert "authorization" not in headers
