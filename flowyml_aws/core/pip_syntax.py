"""Files of requirements, as pip reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["logical_lines"]


def logical_lines(text: str) -> Iterator[str]:
    """Lines without comments and empty ones, continued lines joined."""
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        if stripped := re.sub(r"(^|\s)#.*$", "", line).strip():
            yield " ".join(stripped.split())
