"""What the emulator's own services have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

__all__ = ["Answer", "Api", "Rewrite"]

Answer = Callable[[Mapping[str, Any], str, int], Mapping[str, Any]]
Rewrite = Callable[[Mapping[str, Any], str], Mapping[str, Any]]


class Api(Protocol):
    """The part of a service that the emulator has itself; both are called with the lock."""

    @property
    def answers(self) -> Mapping[str, Answer]:
        """Operation to what answers it, from the request, its region and its size in bytes."""

    @property
    def rewrites(self) -> Mapping[str, Rewrite]:
        """Operation to what makes its request fit for moto, from the request and its region."""
