"""Syntax of pip's requirements files."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["logical_lines"]


def logical_lines(text: str) -> Iterator[str]:
    """Yield the lines without comments and blank lines; continued lines are joined."""
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        if stripped := re.sub(r"(^|\s)#.*$", "", line).strip():
            yield " ".join(stripped.split())
