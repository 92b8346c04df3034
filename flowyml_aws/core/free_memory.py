"""Return of freed memory to the operating system."""

from __future__ import annotations

import ctypes

__all__ = ["return_free_memory"]


def return_free_memory() -> None:
    """Return memory that this process has freed to the system; no-op without glibc.

    glibc keeps freed blocks between blocks in use, and Python's small objects can't use them. For a
    run of 10,000 jobs, they are a sixth of the memory of the client.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return
    # https://man7.org/linux/man-pages/man3/malloc_trim.3.html
    trim(ctypes.c_size_t(0))
