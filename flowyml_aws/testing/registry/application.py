"""The registry as a WSGI application: the OCI distribution API, with ECR's rules.

Source: the OCI Distribution Specification 1.1 (github.com/opencontainers/distribution-spec). As in
ECR, repositories are not created by a push, each request needs the permissions of ECR's operation
with the same effect, and images are deleted by ECR's API only. Content is never redirected to S3.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any
from urllib.parse import parse_qs

from moto.ecr.models import Repository

from flowyml_aws.testing.calls import ApiCall, ApiRequest, signing_key
from flowyml_aws.testing.iam.guard import AccessError, Guard
from flowyml_aws.testing.registry.errors import RegistryError, denied
from flowyml_aws.testing.registry.images import find_image, find_repository, put_image
from flowyml_aws.testing.registry.layers import Layers
from flowyml_aws.testing.registry.routes import ROOT, Route, route_of
from flowyml_aws.testing.registry.tokens import Tokens

__all__ = ["Begin", "Registry"]

Begin = Callable[[ApiCall, str], Any]
"""Function (call, caller) that records a call, and returns the function that starts a response."""

_CHUNK_BYTES = 1 << 20
_RANGE = re.compile(r"(?:bytes )?(\d+)-\d+")


@dataclass(frozen=True, slots=True)
class _Response:
    """An HTTP response."""

    status: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Path = b""


class Registry:
    """The registry of the account, in all regions.

    Args:
        folder: New folder for the layers.
        tokens: Authorization tokens.
        guard: Access control.
        lock: Guards all state.
        endpoint_url: URL of the emulator.
        region: Region of repositories whose name in the URL does not have one.
    """

    def __init__(
        self,
        folder: Path,
        tokens: Tokens,
        guard: Guard,
        lock: RLock,
        endpoint_url: str,
        region: str,
    ) -> None:
        self._layers = Layers(folder)
        self._tokens = tokens
        self._guard = guard
        self._lock = lock
        self._endpoint_url = endpoint_url
        self._region = region

    def authorize(self, environ: Mapping[str, Any]) -> dict[str, Any]:
        """Return the response to GetAuthorizationToken, whose permission was checked.

        Its `proxyEndpoint`, "the registry URL to use for this authorization token", is the
        emulator: the host in the names of images belongs to AWS.
        """
        access_key, _ = signing_key(environ)
        token, expires = self._tokens.issue(access_key)
        entry = {
            "authorizationToken": token,
            "expiresAt": expires,
            "proxyEndpoint": self._endpoint_url,
        }
        return {"authorizationData": [entry]}

    def login(self, access_key: str) -> str:
        """Return a login for the account's own pulls: user and password, in base64."""
        return self._tokens.issue(access_key)[0]

    def __call__(
        self, environ: dict[str, Any], start_response: Any, begin: Begin
    ) -> Iterable[bytes]:
        """Respond to a request."""
        is_head = environ["REQUEST_METHOD"] == "HEAD"
        starts = [start_response]

        def record(call: ApiCall, caller: str) -> None:
            starts.append(begin(call, caller))

        try:
            response = self._respond(environ, record)
        except RegistryError as error:
            headers = {"Content-Type": "application/json"}
            if error.status.startswith("401"):
                realm = f'Basic realm="{self._endpoint_url}/",service="ecr.amazonaws.com"'
                headers["WWW-Authenticate"] = realm
            response = _Response(error.status, headers, error.body)
        body = response.body
        length = len(body) if isinstance(body, bytes) else body.stat().st_size
        headers = {"Content-Length": str(length), **response.headers}
        headers["Docker-Distribution-Api-Version"] = "registry/2.0"
        starts[-1](response.status, list(headers.items()))
        if is_head:
            return []
        return [body] if isinstance(body, bytes) else _read(body)

    def _respond(
        self, environ: dict[str, Any], record: Callable[[ApiCall, str], None]
    ) -> _Response:
        with self._lock:
            caller = self._tokens.caller(environ.get("HTTP_AUTHORIZATION", ""))
            if environ["PATH_INFO"] in (ROOT, ROOT[:-1]):
                return _Response("200 OK", {"Content-Type": "application/json"}, b"{}")
            route = route_of(environ["REQUEST_METHOD"], environ["PATH_INFO"], self._region)
            call = ApiCall("ecr", route.operation, route.repository)
            record(call, caller.name)
            body = json.dumps({"repositoryName": route.repository}).encode()
            try:
                self._guard.check(caller, ApiRequest(call, caller.name, body))
            except AccessError as error:
                raise denied(error.message) from error
            repository = find_repository(route.account, route.region, route.repository)
        match route.operation:
            case "InitiateLayerUpload":
                return self._upload(route, self._layers.start(repository), "202 Accepted", 0)
            case "UploadLayerPart":
                return self._append(route, repository, environ)
            case "CompleteLayerUpload":
                return self._finish(route, repository, environ)
            case "BatchCheckLayerAvailability" | "GetDownloadUrlForLayer":
                return self._layer(repository, route.reference)
            case "PutImage":
                return self._put_image(route, repository, environ)
            case "BatchGetImage":
                return self._image(repository, route.reference)
        return self._list_tags(route, repository)

    def _append(
        self, route: Route, repository: Repository, environ: Mapping[str, Any]
    ) -> _Response:
        start = _RANGE.fullmatch(environ.get("HTTP_CONTENT_RANGE", ""))
        size = self._layers.append(
            route.reference, repository, _chunks(environ), int(start[1]) if start else None
        )
        return self._upload(route, route.reference, "202 Accepted", size)

    def _finish(
        self, route: Route, repository: Repository, environ: Mapping[str, Any]
    ) -> _Response:
        (digest,) = parse_qs(environ.get("QUERY_STRING", "")).get("digest", [""])
        self._layers.append(route.reference, repository, _chunks(environ))
        self._layers.finish(route.reference, repository, digest)
        location = f"{ROOT}{route.name}/blobs/{digest}"
        headers = {"Location": location, "Docker-Content-Digest": digest}
        return _Response("201 Created", headers)

    def _upload(self, route: Route, upload: str, status: str, size: int) -> _Response:
        location = f"{ROOT}{route.name}/blobs/uploads/{upload}"
        headers = {"Location": location, "Range": f"0-{max(size - 1, 0)}"}
        return _Response(status, {**headers, "Docker-Upload-UUID": upload})

    def _layer(self, repository: Repository, digest: str) -> _Response:
        kind = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": digest}
        return _Response("200 OK", kind, self._layers.find(repository, digest))

    def _put_image(
        self, route: Route, repository: Repository, environ: Mapping[str, Any]
    ) -> _Response:
        content = b"".join(_chunks(environ))
        media_type = environ.get("CONTENT_TYPE", "")
        with self._lock:
            digest = put_image(repository, route.reference, content, media_type, self._layers)
        location = f"{ROOT}{route.name}/manifests/{digest}"
        return _Response("201 Created", {"Location": location, "Docker-Content-Digest": digest})

    def _image(self, repository: Repository, reference: str) -> _Response:
        with self._lock:
            image = find_image(repository, reference)
        media_type = image.image_manifest_media_type or "application/json"
        headers = {"Content-Type": media_type, "Docker-Content-Digest": image.image_digest}
        return _Response("200 OK", headers, image.get_image_manifest().encode())

    def _list_tags(self, route: Route, repository: Repository) -> _Response:
        with self._lock:
            tags = sorted(tag for image in repository.images for tag in image.image_tags)
        body = json.dumps({"name": route.name, "tags": tags}).encode()
        return _Response("200 OK", {"Content-Type": "application/json"}, body)


def _chunks(environ: Mapping[str, Any]) -> Iterator[bytes]:
    """Yield the body of a request, which can be larger than the memory."""
    length = environ.get("CONTENT_LENGTH")
    if not length and not environ.get("wsgi.input_terminated"):
        return
    rest = int(length) if length else None
    while rest is None or rest > 0:
        size = _CHUNK_BYTES if rest is None else min(_CHUNK_BYTES, rest)
        if not (chunk := environ["wsgi.input"].read(size)):
            return
        if rest is not None:
            rest -= len(chunk)
        yield chunk


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
