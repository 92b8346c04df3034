"""Cache keys of step outputs; `identity.py` describes what a key covers."""

from __future__ import annotations

from collections.abc import Mapping

from flowyml_aws.artifacts.refs import digest_of_facts

__all__ = ["cache_key"]


def cache_key(identity: str, assets: Mapping[str, str]) -> str:
    """Return the cache key of a step, as hex.

    Args:
        identity: Digest of everything that decides the outputs, except the assets that it reads.
        assets: Identity of each asset that the step reads.
    """
    return digest_of_facts([identity, sorted(assets.items())])
