"""Imports of a program without garbage collection."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["uncollected"]


@contextmanager
def uncollected() -> Iterator[None]:
    """Disable garbage collection while a program imports its modules.

    Their many objects stay until the process ends, so to search them for garbage is a waste, also
    later and at the end of the process: they are exempt from then on (`gc.freeze`). Only for the
    modules that are programs, as others may be imported into a process with garbage of its own.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if was_enabled:
            gc.enable()
