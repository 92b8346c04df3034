"""The error codes of SageMaker's training API."""

from __future__ import annotations

from flowyml_aws.testing.refusal import Refusal

__all__ = ["ResourceInUse", "ResourceLimitExceeded", "ValidationException"]


class ValidationException(Refusal):
    """The request is invalid, or a resource that it names does not exist."""


class ResourceInUse(Refusal):
    """The name is already in use."""


class ResourceLimitExceeded(Refusal):
    """The account's quota is exhausted."""
