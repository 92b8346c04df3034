"""Several values at once into a store and out of it: most of the time of each is waiting.

Values of several parts go one after the other, each in all of its parts at once. So what encoding
and decoding copy is in memory of one large value, and of as many small ones as fit the lanes.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from flowyml_aws.artifacts.content import PART_BYTES
from flowyml_aws.artifacts.parallel import for_each
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.artifacts.values import encode_value, load_value

__all__ = ["load_values", "save_values"]


def save_values(store: ArtifactStore, values: Mapping[str, Any]) -> dict[str, ArtifactRef]:
    """Store the values of some assets; their refs by asset.

    Args:
        store: Where to.
        values: By asset. They must not change meanwhile.

    Raises:
        UnstorableValueError: One of them would not come back the same. Others may be stored.
    """
    turn = threading.Lock()

    def save(item: tuple[str, Any]) -> ArtifactRef:
        with turn:  # only what is encoded has a size
            encoded = encode_value(*item)
            if encoded.content.size_bytes > PART_BYTES:
                return encoded.save(store)
        return encoded.save(store)

    return dict(zip(values, for_each(values.items(), save), strict=True))


def load_values(
    store: ArtifactStore, refs: Mapping[str, ArtifactRef], folder: Path
) -> dict[str, Any]:
    """The values of some assets, by asset; `load_value` says where they lie and what it raises."""
    turn = threading.Lock()

    def load(item: tuple[str, ArtifactRef]) -> Any:
        asset, ref = item
        with turn if ref.value_bytes > PART_BYTES else nullcontext():
            return load_value(store, ref, asset, folder)

    return dict(zip(refs, for_each(refs.items(), load), strict=True))
