"""Errors of the registry, in its JSON format with ECR's messages."""

from __future__ import annotations

import json

__all__ = [
    "RegistryError",
    "blob_unknown",
    "denied",
    "digest_invalid",
    "manifest_invalid",
    "manifest_unknown",
    "name_unknown",
    "range_invalid",
    "unauthorized",
    "unsupported",
    "upload_unknown",
]


class RegistryError(Exception):
    """A request that the registry refuses.

    Attributes:
        status: HTTP status.
        code: Code of the error in the OCI distribution specification.
        message: Text for people.
    """

    def __init__(self, status: str, code: str, message: str) -> None:
        super().__init__(status, code, message)
        self.status, self.code, self.message = status, code, message

    @property
    def body(self) -> bytes:
        """The response body."""
        return json.dumps({"errors": [{"code": self.code, "message": self.message}]}).encode()


def unauthorized() -> RegistryError:
    """Return the error for a request without a token. Clients repeat it with their login."""
    return RegistryError("401 Unauthorized", "UNAUTHORIZED", "Not Authorized")


def denied(message: str) -> RegistryError:
    """Return the error for a missing permission, or for an expired token."""
    return RegistryError("403 Forbidden", "DENIED", message)


def name_unknown(repository: str, account: str) -> RegistryError:
    """Return the error for a repository that does not exist: a push creates none."""
    message = (
        f"The repository with name '{repository}' does not exist in the registry with id "
        f"'{account}'"
    )
    return RegistryError("404 Not Found", "NAME_UNKNOWN", message)


def manifest_unknown() -> RegistryError:
    """Return the error for an image that does not exist."""
    return RegistryError("404 Not Found", "MANIFEST_UNKNOWN", "Requested image not found")


def manifest_invalid(reason: str) -> RegistryError:
    """Return the error for a manifest that can't be stored."""
    return RegistryError("400 Bad Request", "MANIFEST_INVALID", reason)


def blob_unknown(digest: str) -> RegistryError:
    """Return the error for a layer that the repository does not have."""
    return RegistryError("404 Not Found", "BLOB_UNKNOWN", f"Layer not found: {digest}")


def upload_unknown() -> RegistryError:
    """Return the error for an upload that was never started, or has ended."""
    return RegistryError("404 Not Found", "BLOB_UPLOAD_UNKNOWN", "Layer upload not found")


def digest_invalid(claimed: str, digest: str) -> RegistryError:
    """Return the error for content whose digest is not the one in the request."""
    message = f"The digest of the content is '{digest}', not '{claimed}'"
    return RegistryError("400 Bad Request", "DIGEST_INVALID", message)


def range_invalid(received: int) -> RegistryError:
    """Return the error for a part of a layer that does not follow the bytes before it."""
    message = f"The next part of the layer must start at byte {received}"
    return RegistryError("416 Range Not Satisfiable", "BLOB_UPLOAD_INVALID", message)


def unsupported() -> RegistryError:
    """Return the error for an operation that ECR's registry does not have."""
    message = "The operation is unsupported."
    return RegistryError("405 Method Not Allowed", "UNSUPPORTED", message)
