"""Control characters as text, so that output of jobs can't control the user's terminal."""

from __future__ import annotations

import re

__all__ = ["visible"]

# C0 without tab and newline, DEL, and C1, whose U+009B begins a sequence as ESC [ does.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def visible(text: str) -> str:
    r"""Return a string with its control characters as `\x1b`, except tabs and newlines."""
    return _CONTROLS.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
