"""Names for parameters of tests."""

from __future__ import annotations

import re

__all__ = ["named"]


def named(value: object) -> str:
    """A value's looks, without addresses: every process that collects the tests agrees on it."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
