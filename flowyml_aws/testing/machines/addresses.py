"""Loopback addresses of nodes, which share the network of this machine."""

from __future__ import annotations

import sys
from itertools import cycle

__all__ = ["Addresses"]


class Addresses:
    """Loopback addresses of nodes: on Linux, a different one for each."""

    def __init__(self) -> None:
        self._numbers = cycle(range(2, 2**24 - 1))  # of 127.0.0.0/8, at all of which Linux answers

    def take(self) -> str:
        """Return the next address, from 127.0.0.2."""
        if not sys.platform.startswith("linux"):
            return "127.0.0.1"
        number = next(self._numbers)
        return f"127.{number >> 16}.{number >> 8 & 255}.{number & 255}"
