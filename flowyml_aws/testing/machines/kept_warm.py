"""The warm process of the latest emulator, kept for the next one with the same settings.

Starting it takes as much CPU time as ten small jobs, and each test of a user may start an emulator.
"""

from __future__ import annotations

import atexit
import os
from threading import Lock

from flowyml_aws.warm.starter import WarmStarter

__all__ = ["keep", "take_kept"]

_lock = Lock()
_kept: tuple[int, WarmStarter] | None = None  # with the id of the process that it belongs to


def take_kept(starter: WarmStarter) -> WarmStarter:
    """Return the kept starter if its settings are those of a new one, or else the new one."""
    kept = _replace(None)
    if kept is not None and kept.settings == starter.settings:
        return kept
    if kept is not None:
        kept.stop()
    return starter


def keep(starter: WarmStarter) -> None:
    """Keep a starter until another one is kept, or the interpreter exits."""
    if (kept := _replace(starter)) is not None:
        kept.stop()


def _replace(starter: WarmStarter | None) -> WarmStarter | None:
    """Return the starter that was kept by this process, and keep another one instead."""
    global _kept
    with _lock:
        kept, _kept = _kept, None if starter is None else (os.getpid(), starter)
    # A fork of this process must not use its starter.
    return kept[1] if kept is not None and kept[0] == os.getpid() else None


@atexit.register
def _stop() -> None:
    if (kept := _replace(None)) is not None:
        kept.stop()
