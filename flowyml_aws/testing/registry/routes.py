"""The requests of the OCI distribution API, as operations of ECR."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from moto.core.models import DEFAULT_ACCOUNT_ID

from flowyml_aws.aws.checks.image import ecr_image
from flowyml_aws.testing.registry.errors import unsupported

__all__ = ["ROOT", "Route", "is_for_registry", "route_of"]

ROOT = "/v2/"
_PATHS = {
    "upload": re.compile(r"(?P<name>.+)/blobs/uploads/(?P<reference>[0-9a-f]*)"),
    "blob": re.compile(r"(?P<name>.+)/blobs/(?P<reference>sha256:[0-9a-f]{64})"),
    "manifest": re.compile(r"(?P<name>.+)/manifests/(?P<reference>[\w.:-]+)"),
    "tags": re.compile(r"(?P<name>.+)/tags/(?P<reference>list)"),
}
# Amazon ECR User Guide, "IAM permissions for pushing an image to an Amazon ECR private repository"
# (image-push-iam): the registry's requests need the permissions of ECR's own operations.
_OPERATIONS = {
    ("HEAD", "blob"): "BatchCheckLayerAvailability",
    ("GET", "blob"): "GetDownloadUrlForLayer",
    ("POST", "upload"): "InitiateLayerUpload",
    ("PATCH", "upload"): "UploadLayerPart",
    ("PUT", "upload"): "CompleteLayerUpload",
    ("HEAD", "manifest"): "BatchGetImage",
    ("GET", "manifest"): "BatchGetImage",
    ("PUT", "manifest"): "PutImage",
    ("GET", "tags"): "ListImages",
}


@dataclass(frozen=True, slots=True)
class Route:
    """A request to a repository.

    Attributes:
        operation: Operation of ECR with the same effect.
        account, region: Registry.
        name: Name of the repository in the URL, as the client writes it.
        repository: Name of the repository in ECR.
        reference: Tag or digest of an image, digest of a layer, or id of an upload; may be empty.
    """

    operation: str
    account: str
    region: str
    name: str
    repository: str
    reference: str


def is_for_registry(environ: Mapping[str, Any]) -> bool:
    """Return whether a WSGI request is for the registry.

    Requests of AWS clients are signed, also where a service has the same path. S3 has no bucket
    with this name, because names of buckets have at least three characters.
    """
    path: str = environ["PATH_INFO"]
    authorization: str = environ.get("HTTP_AUTHORIZATION", "")
    return (path == ROOT[:-1] or path.startswith(ROOT)) and (
        authorization.startswith("Basic ")
        or (
            not authorization and "X-Amz-Signature" not in parse_qs(environ.get("QUERY_STRING", ""))
        )
    )


def route_of(method: str, path: str, region: str) -> Route:
    """Parse a request.

    The host in the name of an image is not the address of the emulator. So a client can write it
    before the repository: `127.0.0.1:PORT/ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY:TAG`.

    Args:
        method: HTTP method.
        path: Path of the URL, below `/`.
        region: Region of the registry if the name does not have one.

    Raises:
        RegistryError: ECR's registry has no such operation.
    """
    for kind, pattern in _PATHS.items():
        if match := pattern.fullmatch(path.removeprefix(ROOT)):
            if (operation := _OPERATIONS.get((method, kind))) is None:
                break
            image = ecr_image(match["name"])
            return Route(
                operation,
                image.registry if image else DEFAULT_ACCOUNT_ID,
                image.region if image else region,
                match["name"],
                image.repository if image else match["name"],
                match["reference"],
            )
    raise unsupported()
