"""The error codes of SageMaker's training API."""

from __future__ import annotations

from flowyml_aws.testing.refusal import Refusal

__all__ = ["ResourceInUse", "ResourceLimitExceeded", "ValidationException"]


class ValidationException(Refusal):
    """The request breaks a rule, or what it names does not exist."""


class ResourceInUse(Refusal):
    """The name is taken."""


class ResourceLimitExceeded(Refusal):
    """The account's quota is used up."""
