"""The emulated registry: the requests of Docker and podman, and ECR's rules for them."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError

from flowyml_aws.aws.registry import DOCKER_MANIFEST
from flowyml_aws.testing import Emulator
from tests.support.registry_client import RegistryClient, basic, digest_of, login_of
from tests.support.rigs import raised_emulator

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("registry")]

HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
INDEX = "application/vnd.oci.image.index.v1+json"


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with raised_emulator(keep_requests=True) as aws:
        yield aws


@pytest.fixture
def registry(aws: Emulator, request: pytest.FixtureRequest) -> RegistryClient:
    """A client of a new repository, under its name on AWS."""
    name = request.node.name.partition("[")[0].replace("_", "-")
    aws.client("ecr").create_repository(repositoryName=name, imageTagMutability="IMMUTABLE")
    return RegistryClient(aws, login_of(aws), f"{HOST}/{name}")


def repository(registry: RegistryClient) -> str:
    return registry.name.partition("/")[2]


def error(response: Any) -> tuple[int, str, str]:
    (entry,) = response.json()["errors"]
    return response.status_code, entry["code"], entry["message"]


def test_a_pushed_image_can_be_pulled_by_tag_and_digest(registry: RegistryClient) -> None:
    layer = bytes(range(256)) * 10_000
    manifest = registry.manifest(layer)
    digest = registry.put_manifest("1", manifest).headers["Docker-Content-Digest"]
    assert digest == digest_of(manifest)
    for reference in ("1", digest):
        pulled = registry.send("GET", f"manifests/{reference}")
        assert pulled.content == manifest
        assert pulled.headers["Content-Type"] == DOCKER_MANIFEST
        assert pulled.headers["Docker-Content-Digest"] == digest
        head = registry.send("HEAD", f"manifests/{reference}")
        assert (head.content, head.headers["Content-Length"]) == (b"", str(len(manifest)))
    assert registry.send("GET", f"blobs/{digest_of(layer)}").content == layer
    head = registry.send("HEAD", f"blobs/{digest_of(layer)}")
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(layer)))
    assert registry.send("GET", "tags/list").json()["tags"] == ["1"]


def test_ecr_describes_a_pushed_image_with_its_digest_size_and_media_type(
    registry: RegistryClient, aws: Emulator
) -> None:
    digest = registry.push("1", b"a" * 1000, b"b" * 500)
    ecr = aws.client("ecr")
    name = repository(registry)
    (image,) = ecr.describe_images(repositoryName=name, imageIds=[{"imageTag": "1"}])[
        "imageDetails"
    ]
    assert image["imageDigest"] == digest
    assert image["imageTags"] == ["1"]
    assert image["imageManifestMediaType"] == DOCKER_MANIFEST
    config = len(b'{"os": "linux", "architecture": "amd64"}')
    assert image["imageSizeInBytes"] == 1500 + config
    (image,) = ecr.batch_get_image(repositoryName=name, imageIds=[{"imageDigest": digest}])[
        "images"
    ]
    assert digest_of(image["imageManifest"].encode()) == digest


def test_a_layer_is_uploaded_in_parts_that_follow_each_other(registry: RegistryClient) -> None:
    content = b"0123456789"
    upload = registry.send("POST", "blobs/uploads/").headers["Location"]
    part = registry.send("PATCH", upload, data=content[:6], headers={"Content-Range": "0-5"})
    assert (part.status_code, part.headers["Range"]) == (202, "0-5")
    gap = registry.send("PATCH", upload, data=content[7:], headers={"Content-Range": "7-9"})
    assert error(gap) == (
        416,
        "BLOB_UPLOAD_INVALID",
        "The next part of the layer must start at byte 6",
    )
    # The last part can be in the request that ends the upload.
    end = registry.send("PUT", f"{upload}?digest={digest_of(content)}", data=content[6:])
    assert end.status_code == 201
    assert end.headers["Location"].endswith(f"/blobs/{digest_of(content)}")
    assert registry.send("GET", f"blobs/{digest_of(content)}").content == content
    again = registry.send("PUT", f"{upload}?digest={digest_of(content)}")
    assert error(again)[:2] == (404, "BLOB_UPLOAD_UNKNOWN")


def test_content_with_another_digest_is_refused(registry: RegistryClient) -> None:
    upload = registry.send("POST", "blobs/uploads/").headers["Location"]
    wrong = registry.send("PUT", f"{upload}?digest={digest_of(b'other')}", data=b"content")
    assert error(wrong)[:2] == (400, "DIGEST_INVALID")
    assert error(registry.send("GET", f"blobs/{digest_of(b'content')}"))[:2] == (
        404,
        "BLOB_UNKNOWN",
    )
    manifest = registry.manifest()
    assert error(registry.put_manifest(digest_of(b"other"), manifest))[:2] == (
        400,
        "DIGEST_INVALID",
    )


def test_layers_are_not_mounted_from_another_repository(
    registry: RegistryClient, aws: Emulator
) -> None:
    layer = registry.push_layer(b"content")
    aws.client("ecr").create_repository(repositoryName="another")
    another = RegistryClient(aws, registry.login, f"{HOST}/another")
    source = repository(registry)
    response = another.send("POST", f"blobs/uploads/?mount={layer}&from={source}")
    assert (response.status_code, "Location" in response.headers) == (202, True)
    assert another.send("HEAD", f"blobs/{layer}").status_code == 404


def test_a_manifest_needs_the_layers_that_it_refers_to(registry: RegistryClient) -> None:
    manifest = json.loads(registry.manifest(b"content"))
    manifest["layers"].append({"digest": digest_of(b"missing"), "size": 7})
    response = registry.put_manifest("1", json.dumps(manifest).encode())
    assert error(response) == (
        404,
        "MANIFEST_BLOB_UNKNOWN",
        f"Layers with digests '[{digest_of(b'missing')}]' required for pushing image into "
        f"repository with name '{repository(registry)}' in the registry with id '123456789012' do "
        "not exist",
    )
    for text in (b"no JSON", b'{"schemaVersion": 1}'):
        response = registry.send("PUT", "manifests/1", data=text)
        assert error(response)[:2] == (400, "MANIFEST_INVALID")


def test_a_tag_is_immutable_also_for_the_same_image(registry: RegistryClient) -> None:
    manifest = registry.manifest(b"content")
    assert registry.put_manifest("1", manifest).status_code == 201
    refusal = (
        400,
        "TAG_INVALID",
        f"The image tag '1' already exists in the '{repository(registry)}' repository and cannot "
        "be overwritten because the tag is immutable.",
    )
    assert error(registry.put_manifest("1", manifest)) == refusal
    assert error(registry.put_manifest("1", registry.manifest(b"other"))) == refusal
    assert registry.put_manifest("2", manifest).status_code == 201
    assert registry.send("GET", "tags/list").json()["tags"] == ["1", "2"]


def test_a_mutable_tag_moves_to_the_image_pushed_last(
    registry: RegistryClient, aws: Emulator
) -> None:
    name = repository(registry)
    aws.client("ecr").put_image_tag_mutability(repositoryName=name, imageTagMutability="MUTABLE")
    first, second = registry.push("1", b"a"), registry.push("1", b"b")
    assert registry.send("HEAD", "manifests/1").headers["Docker-Content-Digest"] == second
    assert registry.send("HEAD", f"manifests/{first}").status_code == 200
    assert registry.put_manifest("1", registry.manifest(b"b")).status_code == 201


def test_an_index_needs_its_images(registry: RegistryClient) -> None:
    manifest = registry.manifest(b"content")
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [{"digest": digest_of(manifest)}]}
    text = json.dumps(index).encode()
    assert error(registry.put_manifest("all", text))[1] == "MANIFEST_BLOB_UNKNOWN"
    assert registry.put_manifest(digest_of(manifest), manifest).status_code == 201
    assert registry.put_manifest("all", text).status_code == 201
    assert registry.send("GET", "manifests/all").headers["Content-Type"] == INDEX


def test_a_push_creates_no_repository(registry: RegistryClient, aws: Emulator) -> None:
    text = "does not exist in the registry with id"
    for name in (f"{HOST}/none", "none", f"{HOST.replace('us-east-1', 'eu-west-1')}/none"):
        response = RegistryClient(aws, registry.login, name).send("POST", "blobs/uploads/")
        assert error(response) == (
            404,
            "NAME_UNKNOWN",
            f"The repository with name 'none' {text} '123456789012'",
        )
    other = HOST.replace("1234", "9999")
    response = RegistryClient(aws, registry.login, f"{other}/x").send("GET", "manifests/1")
    assert error(response)[2].endswith(f"{text} '999956789012'")


def test_a_repository_that_is_created_again_is_empty(
    registry: RegistryClient, aws: Emulator
) -> None:
    registry.push("1", b"content")
    name = repository(registry)
    aws.client("ecr").delete_repository(repositoryName=name, force=True)
    aws.client("ecr").create_repository(repositoryName=name)
    assert error(registry.send("GET", "manifests/1")) == (
        404,
        "MANIFEST_UNKNOWN",
        "Requested image not found",
    )
    assert registry.send("HEAD", f"blobs/{digest_of(b'content')}").status_code == 404


def test_images_are_not_deleted_through_the_registry(registry: RegistryClient) -> None:
    digest = registry.push("1")
    assert error(registry.send("DELETE", f"manifests/{digest}"))[:2] == (405, "UNSUPPORTED")
    assert error(registry.send("GET", "/v2/_catalog"))[:2] == (405, "UNSUPPORTED")


def test_without_a_token_the_client_is_asked_for_one(
    registry: RegistryClient, aws: Emulator
) -> None:
    for path in ("/v2/", "manifests/1"):
        response = RegistryClient(aws, None, registry.name).send("GET", path)
        assert error(response)[:2] == (401, "UNAUTHORIZED")
        assert response.headers["WWW-Authenticate"].startswith('Basic realm="http://127.0.0.1:')
    assert registry.send("GET", "/v2/").status_code == 200


def test_an_unknown_token_is_refused(registry: RegistryClient) -> None:
    for login in (basic("AWS", "no token"), "no base64"):
        response = RegistryClient(registry.aws, login, registry.name).send("GET", "/v2/")
        assert error(response)[:2] == (400, "DENIED")


def test_a_token_expires_after_twelve_hours(registry: RegistryClient, aws: Emulator) -> None:
    aws.advance(12 * 3600 - 60)
    assert registry.send("GET", "/v2/").status_code == 200
    aws.advance(60)
    assert error(registry.send("GET", "/v2/")) == (
        403,
        "DENIED",
        "Your authorization token has expired. Reauthenticate and try again.",
    )


def test_users_push_and_execution_roles_only_pull(registry: RegistryClient, aws: Emulator) -> None:
    name = f"{HOST}/flowyml-emulator"
    clients = {
        role: RegistryClient(
            aws, login_of(aws, **aws.credentials(f"flowyml-emulator-{role}")), name
        )
        for role in ("user", "execution")
    }
    clients["user"].push("1", b"content")
    layer = f"blobs/{digest_of(b'content')}"
    for client in clients.values():
        assert client.send("HEAD", layer).status_code == 200
        assert client.send("GET", "manifests/1").status_code == 200
        assert client.send("GET", layer).content == b"content"
    status, code, message = error(clients["execution"].send("POST", "blobs/uploads/"))
    assert (status, code) == (403, "DENIED")
    assert "assumed-role/flowyml-emulator-execution/emulator is not authorized to perform: " in (
        message
    )
    assert "ecr:InitiateLayerUpload on resource: arn:aws:ecr:us-east-1:123456789012:" in message
    assert aws.guard.denials[-1].need.action == "ecr:InitiateLayerUpload"
    other = RegistryClient(aws, clients["user"].login, registry.name)
    assert error(other.send("POST", "blobs/uploads/"))[:2] == (403, "DENIED")


def test_roles_without_the_permission_get_no_token(aws: Emulator) -> None:
    with pytest.raises(ClientError, match="ecr:GetAuthorizationToken"):
        login_of(aws, **aws.credentials("flowyml-emulator-job"))


def test_the_calls_are_recorded_as_the_operations_of_ecr(
    registry: RegistryClient, aws: Emulator
) -> None:
    aws.calls.clear()
    aws.requests.clear()
    registry.push("1")
    name = repository(registry)
    operations = [
        *("InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload", "PutImage"),
    ]
    assert aws.calls == [("ecr", operation, name) for operation in operations]
    assert [(r.call, r.caller, r.status) for r in aws.requests] == [
        (call, "administrator", status)
        for call, status in zip(aws.calls, (202, 202, 201, 201), strict=True)
    ]


def test_requests_that_are_signed_for_other_services_are_not_for_the_registry(
    aws: Emulator,
) -> None:
    # The API of SES has the same prefix, and every signed request goes to its own service.
    with pytest.raises(ClientError) as caught:
        aws.client("sesv2").get_email_identity(EmailIdentity="x")
    assert "DENIED" not in str(caught.value)


def test_a_client_that_tries_tls_first_is_disconnected_at_once(aws: Emulator) -> None:
    host, port = aws.endpoint_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(b"\x16\x03\x01")
        with suppress(ConnectionResetError):
            assert connection.recv(100) == b""
