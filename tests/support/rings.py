"""Test rings: `contract` and `system` by marker; all other tests are unit tests.

A unit test that starts a process or a server fails, so that `make unit` stays fast.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

__all__ = ["RINGS", "guarded", "ring_of", "watch"]

RINGS = ("contract", "system")
# Audit events of CPython.
PROCESSES_AND_SERVERS = frozenset(
    ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "socket.bind")
)

_unit_test: str | None = None


def watch() -> None:
    """Start watching for processes and servers, until the interpreter exits."""
    # It binds a socket when it is imported, to find out about IPv6.
    importlib.import_module("urllib3.util.connection")
    sys.addaudithook(_refuse)


def ring_of(item: pytest.Item) -> str:
    """Return "unit", "contract" or "system".

    Raises:
        pytest.UsageError: The test has two rings.
    """
    rings = [ring for ring in RINGS if item.get_closest_marker(ring)]
    if len(rings) > 1:
        raise pytest.UsageError(f"{item.nodeid} has two rings: {' and '.join(rings)}")
    return rings[0] if rings else "unit"


@contextmanager
def guarded(item: pytest.Item) -> Iterator[None]:
    """Make a unit test fail as soon as it starts a process or a server."""
    global _unit_test
    _unit_test = item.nodeid if ring_of(item) == "unit" else None
    try:
        yield
    finally:
        _unit_test = None


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event in PROCESSES_AND_SERVERS and _unit_test is not None:
        pytest.fail(
            f"{_unit_test} is a unit test, which must not start processes or servers ({event}): "
            "mark it `contract` or `system`",
            pytrace=True,
        )
