"""Cache keys of step outputs; `identity.py` describes what a key covers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

__all__ = ["cache_key", "digest_of_facts"]

_VERSION = "flowyml-aws cache 2"


def cache_key(identity: str, assets: Mapping[str, str]) -> str:
    """Return the cache key of a step, as hex.

    Args:
        identity: Digest of everything that decides the outputs, except the assets that it reads.
        assets: Identity of each asset that the step reads.
    """
    return digest_of_facts([identity, sorted(assets.items())])


def digest_of_facts(facts: Any) -> str:
    """Return the SHA-256 digest of JSON values, as hex."""
    text = json.dumps([_VERSION, facts], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
