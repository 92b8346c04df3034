"""Expected failures around values and keys."""

from __future__ import annotations

from flowyml_aws.core.errors import FlowymlError

__all__ = ["InvalidKeyError", "UnstorableValueError"]


class InvalidKeyError(FlowymlError, ValueError):
    """A key could leave the store or mean different objects in different stores."""


class UnstorableValueError(FlowymlError, TypeError):
    """A value cannot be turned into bytes that give the same value back."""
