"""Hosts of a training job: their names and their addresses.

On AWS, the names resolve to addresses in a network of the job. Here, all hosts share the network of
this machine, and the names do not resolve: each has an own loopback address in a variable.
"""

from __future__ import annotations

import sys
from itertools import count

__all__ = ["Addresses", "host_names"]


def host_names(number: int) -> list[str]:
    """Return the names of a number of hosts: `algo-1`, `algo-2`."""
    return [f"algo-{host}" for host in range(1, number + 1)]


class Addresses:
    """Loopback addresses of hosts: on Linux a different one for each."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def take(self) -> str:
        """Return the next address, from 127.128.0.1."""
        if not sys.platform.startswith("linux"):
            return "127.0.0.1"
        number = next(self._numbers) % 2**22
        return f"127.{128 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
