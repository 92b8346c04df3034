from __future__ import annotations

CODECS: set[str] = set()
