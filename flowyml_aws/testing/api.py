"""The interface of the services that the emulator implements itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

__all__ = ["Api", "Handler", "Rewrite"]

Handler = Callable[[Mapping[str, Any], str, int], Mapping[str, Any]]
Rewrite = Callable[[Mapping[str, Any], str], Mapping[str, Any]]


class Api(Protocol):
    """The part of a service that the emulator implements; handlers run while the lock is held."""

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """Handlers by operation; arguments: the request, its region and its size in bytes."""

    @property
    def rewrites(self) -> Mapping[str, Rewrite]:
        """Functions by operation that adapt a request for moto; arguments: request, region."""
