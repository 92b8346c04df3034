"""A client of an image registry that sends the requests of Docker and podman."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import Any

import requests

from flowyml_aws.aws.registry import DOCKER_MANIFEST
from flowyml_aws.testing import Emulator

__all__ = ["RegistryClient", "basic", "digest_of", "login_of"]


def login_of(aws: Emulator, **keys: str) -> str:
    """Return a login from GetAuthorizationToken: user and password, in base64.

    Args:
        aws: Emulated account.
        keys: Credentials of the caller, as environment variables; by default the administrator's.
    """
    import boto3

    client: Any = aws.client("ecr")
    if keys:
        client = boto3.client(
            "ecr",
            endpoint_url=aws.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=keys["AWS_SESSION_TOKEN"],
        )
    (entry,) = client.get_authorization_token()["authorizationData"]
    return str(entry["authorizationToken"])


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True)
class RegistryClient:
    """A client of one repository."""

    aws: Emulator
    login: str | None
    name: str

    def send(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = {} if self.login is None else {"Authorization": f"Basic {self.login}"}
        headers |= options.pop("headers", {})
        url = path if path.startswith("/v2/") else f"/v2/{self.name}/{path}"
        return requests.request(
            method, self.aws.endpoint_url + url, headers=headers, timeout=30, **options
        )

    def push_layer(self, content: bytes) -> str:
        """Upload a layer in one part, and return its digest."""
        upload = self.send("POST", "blobs/uploads/").headers["Location"]
        # A generator is sent with chunked encoding, as engines do.
        upload = self.send("PATCH", upload, data=iter([content])).headers["Location"]
        digest = digest_of(content)
        response = self.send("PUT", f"{upload}?digest={digest}")
        assert response.status_code == 201, response.text
        return digest

    def manifest(self, *layers: bytes, media_type: str = DOCKER_MANIFEST) -> bytes:
        """Upload the content of an image, and return its manifest."""
        config = b'{"os": "linux", "architecture": "amd64"}'
        blobs = [
            {"digest": self.push_layer(content), "size": len(content)}
            for content in (config, *layers)
        ]
        document = {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": blobs[0],
            "layers": blobs[1:],
        }
        return json.dumps(document).encode()

    def put_manifest(self, tag: str, manifest: bytes) -> requests.Response:
        return self.send(
            "PUT",
            f"manifests/{tag}",
            data=manifest,
            headers={"Content-Type": json.loads(manifest).get("mediaType", DOCKER_MANIFEST)},
        )

    def push(self, tag: str, *layers: bytes) -> str:
        """Push an image, and return its digest."""
        response = self.put_manifest(tag, self.manifest(*layers))
        assert response.status_code == 201, response.text
        return response.headers["Docker-Content-Digest"]


def basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()
