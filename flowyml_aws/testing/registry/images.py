"""Images in the account's ECR: their manifests, as moto keeps them for ECR's API.

Not emulated: tags that are exempt from immutability, and blobs shared between repositories.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ecr.models import Image, Repository, ecr_backends

from flowyml_aws.aws.checks.image import ecr_image
from flowyml_aws.testing.registry.errors import (
    RegistryError,
    digest_invalid,
    manifest_invalid,
    manifest_unknown,
    name_unknown,
)
from flowyml_aws.testing.registry.layers import Layers

__all__ = [
    "PULL_FAILED",
    "find_image",
    "find_repository",
    "is_in_account",
    "lookup",
    "pull_failure",
    "put_image",
]

PULL_FAILED = "CannotPullContainerError: Error response from daemon: "
"""Beginning of ECS's reason for a failed pull, before the text of Docker."""


class _PushedImage(Image):
    """An image with its real size: moto returns the size of its configuration."""

    def __init__(self, *arguments: Any, size: int) -> None:
        super().__init__(*arguments)
        self._size = size

    def get_image_size_in_bytes(self) -> int | None:
        return self._size


def is_in_account(uri: str) -> bool:
    """Return whether the URI of an image names a repository of the account."""
    image = ecr_image(uri)
    return image is not None and image.registry == DEFAULT_ACCOUNT_ID


def lookup(uri: str) -> Image:
    """Return the image that a URI of the account's registry names.

    Raises:
        RegistryError: The repository or the image does not exist.
    """
    image = ecr_image(uri)
    assert image is not None
    repository = find_repository(image.registry, image.region, image.repository)
    return find_image(repository, image.digest or image.tag or "")


def pull_failure(uri: str) -> str | None:
    """Return the text of Docker if a pull of an image fails because it does not exist, or None.

    Images outside of the account's registry are assumed to exist.
    """
    if not is_in_account(uri):
        return None
    try:
        lookup(uri)
    except RegistryError as error:
        if error.code == "NAME_UNKNOWN":
            name = uri.partition("@")[0].rpartition(":")[0] or uri
            return f"repository {name} not found: name unknown: {error.message}"
        return f"manifest for {uri} not found: manifest unknown: {error.message}"
    return None


def find_repository(account: str, region: str, name: str) -> Repository:
    """Return a repository.

    Raises:
        RegistryError: It does not exist.
    """
    repositories = ecr_backends[DEFAULT_ACCOUNT_ID][region].repositories
    if account != DEFAULT_ACCOUNT_ID or name not in repositories:
        raise name_unknown(name, account)
    return repositories[name]


def find_image(repository: Repository, reference: str) -> Image:
    """Return an image by its tag or digest.

    Raises:
        RegistryError: The repository has no such image.
    """
    for image in repository.images:
        if reference in (image.image_digest, *image.image_tags):
            return image
    raise manifest_unknown()


def put_image(
    repository: Repository, reference: str, content: bytes, media_type: str, layers: Layers
) -> str:
    """Store the manifest of an image, and return its digest.

    Args:
        repository: Repository of the image.
        reference: Tag of the image, or its digest for an image without a tag.
        content: The manifest.
        media_type: Media type of the manifest, if the manifest does not have one.
        layers: Layers that were pushed.

    Raises:
        RegistryError: The manifest is invalid, refers to content that was not pushed, or the tag
            can't be changed.
    """
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    tag = None if reference.startswith("sha256:") else reference
    if tag is None and reference != digest:
        raise digest_invalid(reference, digest)
    manifest = _parsed(content)
    size = _size(manifest, repository, layers)
    existing = next((image for image in repository.images if image.image_digest == digest), None)
    if tag is not None:
        _move_tag(repository, tag, existing)
    if existing is None:
        media_type = manifest.get("mediaType") or media_type
        text = content.decode()
        repository.images.append(
            _PushedImage(
                repository.account_id, tag, text, repository.name, media_type, digest, size=size
            )
        )
    elif tag is not None:
        existing.update_tag(tag)
    return digest


def _parsed(content: bytes) -> Mapping[str, Any]:
    try:
        manifest = json.loads(content)
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict) or manifest.get("schemaVersion") != 2:
        raise manifest_invalid("The manifest is not a JSON document of schema version 2")
    return manifest


def _size(manifest: Mapping[str, Any], repository: Repository, layers: Layers) -> int:
    """Return the size of an image with its layers, which must have been pushed before."""
    if "manifests" in manifest:
        wanted = [str(entry.get("digest")) for entry in manifest["manifests"]]
        stored = {image.image_digest: image.image_size_in_bytes for image in repository.images}
        known = _known("Images", wanted, stored, repository)
        return max((stored[digest] or 0 for digest in known), default=0)
    blobs = [manifest.get("config") or {}, *(manifest.get("layers") or ())]
    wanted = [str(blob.get("digest")) for blob in blobs]
    sizes = {digest: layers.size(repository, digest) for digest in wanted}
    pushed = {digest: size for digest, size in sizes.items() if size is not None}
    # An image can have the same layer twice.
    return sum(pushed[digest] for digest in _known("Layers", wanted, pushed, repository))


def _known(
    kind: str, wanted: list[str], pushed: Mapping[str, Any], repository: Repository
) -> list[str]:
    """Return the digests that a manifest refers to, if they were pushed. The text is ECR's."""
    if missing := [digest for digest in dict.fromkeys(wanted) if digest not in pushed]:
        raise RegistryError(
            "404 Not Found",
            "MANIFEST_BLOB_UNKNOWN",
            f"{kind} with digests '[{', '.join(missing)}]' required for pushing image into "
            f"repository with name '{repository.name}' in the registry with id "
            f"'{repository.registry_id}' do not exist",
        )
    return wanted


def _move_tag(repository: Repository, tag: str, new: Image | None) -> None:
    """Remove a tag from the image that has it."""
    for image in repository.images:
        if tag not in image.image_tags:
            continue
        if repository.is_tag_immutable():
            # Also for the same image: aws/containers-roadmap issue 2380.
            raise RegistryError(
                "400 Bad Request",
                "TAG_INVALID",
                f"The image tag '{tag}' already exists in the '{repository.name}' repository and "
                "cannot be overwritten because the tag is immutable.",
            )
        if image is not new:
            image.remove_tag(tag)
