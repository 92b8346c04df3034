"""The key under which the outcome of a step is found again; `identity.py` says what it covers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

__all__ = ["cache_key", "digest_of_facts"]

_VERSION = "flowyml-aws cache 1"


def cache_key(identity: str, assets: Mapping[str, str]) -> str:
    """The key of a step's outcome, as hex.

    Args:
        identity: Digest of all that the outcome depends on besides assets.
        assets: Identity of each asset that the step reads.
    """
    return digest_of_facts([identity, sorted(assets.items())])


def digest_of_facts(facts: Any) -> str:
    """SHA-256 of JSON values, as hex."""
    text = json.dumps([_VERSION, facts], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
