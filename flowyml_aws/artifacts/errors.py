"""Errors about values and keys."""

from __future__ import annotations

from flowyml_aws.core.errors import DataError, JobError

__all__ = ["InvalidKeyError", "PickleRefusedError", "UnstorableValueError"]


class InvalidKeyError(DataError, ValueError):
    """A key could escape the store, or name different objects in different stores."""


class PickleRefusedError(DataError, PermissionError):
    """Loading a value could run code from the store, and this is not allowed."""


class UnstorableValueError(JobError, TypeError):
    """A value cannot be encoded and decoded back to the same value."""
