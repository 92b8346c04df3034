"""Ids of test parameters."""

from __future__ import annotations

import re

__all__ = ["stable_repr"]


def stable_repr(value: object) -> str:
    """Return the repr without addresses, so that it is equal in all pytest processes."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
