"""The emulator does not answer web pages, which a browser on the same machine may show."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest

from flowyml_aws.testing import Emulator
from flowyml_aws.testing.account import BUCKET
from tests.support.rigs import raised_emulator

pytestmark = pytest.mark.contract

SUBMIT = {
    "jobName": "attack",
    "jobQueue": "flowyml-emulator-cpu",
    "jobDefinition": "victim",
    "containerOverrides": {"command": ["/bin/sh", "-c", "true"]},
}


@pytest.fixture
def aws() -> Iterator[Emulator]:
    with raised_emulator(warm_starts=False) as aws:
        yield aws


def request(
    aws: Emulator,
    path: str,
    *,
    method: str = "POST",
    body: str = "",
    headers: Mapping[str, str] | None = None,
) -> tuple[int, dict[str, str], str]:
    """Send a request as it is, and return the status, the headers and the body of the response."""
    connection = http.client.HTTPConnection(urlsplit(aws.endpoint_url).netloc, timeout=30)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return response.status, names, response.read().decode()
    finally:
        connection.close()


def submit_path(key: str) -> str:
    """Return the URL of a "simple" request, which a browser sends without a preflight."""
    return f"/v1/submitjob?X-Amz-Credential={key}/20260101/us-east-1/batch/aws4_request"


def jobs(aws: Emulator) -> list[str]:
    return [call.resource for call in aws.calls if call.operation == "SubmitJob"]


def test_a_post_from_a_web_page_starts_no_job(aws: Emulator, connect: Any) -> None:
    connect(aws).define("victim")
    status, _, text = request(
        aws,
        submit_path("x"),
        body=json.dumps(SUBMIT),
        headers={"Origin": "https://evil.example", "Content-Type": "text/plain"},
    )
    assert status == 403
    assert "web page" in text
    assert jobs(aws) == []


def test_a_request_with_an_origin_is_refused_even_with_the_key(aws: Emulator) -> None:
    key = aws.administrator["AWS_ACCESS_KEY_ID"]
    headers = {"Origin": "https://evil.example", "Content-Type": "text/plain"}
    status, _, _ = request(aws, submit_path(key), body=json.dumps(SUBMIT), headers=headers)
    assert status == 403
    assert jobs(aws) == []


@pytest.mark.parametrize("key", ["x", "testing", "AKIAIOSFODNN7EXAMPLE", ""])
def test_a_request_without_the_key_of_this_emulator_is_refused(aws: Emulator, key: str) -> None:
    status, _, _ = request(aws, submit_path(key), body=json.dumps(SUBMIT))
    assert status == 403
    assert request(aws, "/", method="GET")[0] == 403


def test_each_emulator_has_a_random_key_and_secret(aws: Emulator) -> None:
    key, secret = (
        aws.administrator[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    )
    assert len(key) >= 20 and len(secret) >= 40
    assert secret not in key and key not in secret


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:80",
        "127.0.0.1.evil.example",
        "localhost.evil.example:80",
        "[::1]:80",
        "0.0.0.0",
    ],
)
def test_a_name_that_is_rebound_to_this_machine_is_refused(aws: Emulator, host: str) -> None:
    path = f"/{BUCKET}?list-type=2"
    status, _, text = request(aws, path, method="GET", headers={"Host": host})
    assert status == 403
    assert "127.0.0.1" in text
    # Instances' metadata and the registry have no signatures.
    assert request(aws, "/v2/", method="GET", headers={"Host": host})[0] == 403
    assert request(aws, "/instance-metadata/i-1/", method="GET", headers={"Host": host})[0] == 403


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST"])
def test_the_names_of_this_machine_are_accepted(aws: Emulator, name: str) -> None:
    port = urlsplit(aws.endpoint_url).port
    status, _, _ = request(aws, "/v2/", method="GET", headers={"Host": f"{name}:{port}"})
    assert status == 401  # the registry asks for a login


def test_a_preflight_is_refused_without_headers_for_other_origins(aws: Emulator) -> None:
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "PUT"}
    for path in ("/", f"/{BUCKET}/key", "/moto-api/reset", "/v2/", "/instance-metadata/i-1/"):
        status, names, _ = request(aws, path, method="OPTIONS", headers=headers)
        assert status == 403
        assert not [name for name in names if name.startswith("access-control-")]


def test_no_response_has_headers_for_other_origins(aws: Emulator) -> None:
    url = aws.client("s3").generate_presigned_url("list_objects_v2", Params={"Bucket": BUCKET})
    status, names, _ = request(aws, url.removeprefix(aws.endpoint_url), method="GET")
    assert status == 200
    assert not [name for name in names if name.startswith("access-control-")]


@pytest.mark.parametrize("headers", [{}, {"Origin": "https://evil.example"}])
@pytest.mark.parametrize("path", ["/moto-api/reset", "/moto-api/seed?a=1", "/moto-api"])
def test_the_account_can_not_be_erased(
    aws: Emulator, path: str, headers: Mapping[str, str]
) -> None:
    aws.client("s3").put_object(Bucket=BUCKET, Key="kept", Body=b"1")
    assert request(aws, path, headers=headers)[0] == 403
    assert aws.client("s3").get_object(Bucket=BUCKET, Key="kept")["Body"].read() == b"1"


def test_the_api_of_moto_can_be_switched_on() -> None:
    with raised_emulator(moto_api=True) as aws:
        assert request(aws, "/moto-api/data.json", method="GET")[0] == 200
        origin = {"Origin": "https://evil.example"}
        assert request(aws, "/moto-api/reset", headers=origin)[0] == 403
