"""Errors about values and keys."""

from __future__ import annotations

from flowyml_aws.core.errors import DataError, JobError

__all__ = [
    "InvalidKeyError",
    "PickleRefusedError",
    "UnpicklingFailedError",
    "UnstorableValueError",
]


class InvalidKeyError(DataError, ValueError):
    """A key could escape the store, or name different objects in different stores."""


class PickleRefusedError(DataError, PermissionError):
    """Loading a value could run code from the store, and this is not allowed."""


class UnstorableValueError(JobError, TypeError):
    """A value cannot be encoded and decoded back to the same value."""


class UnpicklingFailedError(ValueError):
    """A pickle cannot be loaded. Loading a value reports it as `UnloadableValueError`.

    Attributes:
        place: Name of the class or function at which loading failed, with its module.
        cause: Error that loading raised.
    """

    def __init__(self, place: str | None, cause: Exception) -> None:
        super().__init__(place, cause)
        self.place, self.cause = place, cause

    def __str__(self) -> str:
        return f"{type(self.cause).__name__}: {self.cause}"
