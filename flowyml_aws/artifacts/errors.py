"""Expected failures around values and keys."""

from __future__ import annotations

from flowyml_aws.core.errors import FlowymlError

__all__ = ["InvalidKeyError", "PickleRefusedError", "UnstorableValueError"]


class InvalidKeyError(FlowymlError, ValueError):
    """A key could leave the store or mean different objects in different stores."""


class PickleRefusedError(FlowymlError, PermissionError):
    """Reading a value could run code from the store, and that is not allowed here."""


class UnstorableValueError(FlowymlError, TypeError):
    """A value cannot be turned into bytes that give the same value back."""
