"""Concurrent storing and loading of several values, each of which mostly waits for the store.

Values of more than one part are transferred one at a time, each with all its parts in parallel.
Of the values of more than one chunk, a few are transferred at once. So the copies that encoding
and decoding make are in memory for one large value, a few of up to a part's size, and small ones.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any

from flowyml_aws.artifacts.content import CHUNK_BYTES, PART_BYTES
from flowyml_aws.artifacts.parallel import PART_SLOTS, for_each
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.artifacts.values import encode_value, load_value

__all__ = ["load_values", "save_values"]

_MEDIUM_VALUES_AT_ONCE = PART_SLOTS.count // 2


class _SizeLimits:
    """Limits on concurrent transfers, by the size of the value.

    Attributes:
        large: Reentrant lock for values of more than one part.
    """

    def __init__(self) -> None:
        self.large = threading.RLock()
        self._medium = threading.BoundedSemaphore(_MEDIUM_VALUES_AT_ONCE)

    def limit_for(self, size_bytes: int) -> AbstractContextManager[object]:
        if size_bytes > PART_BYTES:
            return self.large
        return self._medium if size_bytes > CHUNK_BYTES else nullcontext()


def save_values(store: ArtifactStore, values: Mapping[str, Any]) -> dict[str, ArtifactRef]:
    """Store the values of several assets. Return their refs by asset.

    Args:
        store: Target store.
        values: Values by asset. They must not change until they are stored.

    Raises:
        UnstorableValueError: One of the values cannot be stored. Others may have been stored.
    """
    limits = _SizeLimits()

    def save(item: tuple[str, Any]) -> ArtifactRef:
        with ExitStack() as held:
            with limits.large:  # the size is known only after encoding
                encoded = encode_value(*item)
                held.enter_context(limits.limit_for(encoded.content.size_bytes))
            return encoded.save(store)

    return dict(zip(values, for_each(values.items(), save), strict=True))


def load_values(
    store: ArtifactStore, refs: Mapping[str, ArtifactRef], folder: Path
) -> dict[str, Any]:
    """Load the values of several assets, by asset. See `load_value` for the folder and errors."""
    limits = _SizeLimits()

    def load(item: tuple[str, ArtifactRef]) -> Any:
        asset, ref = item
        with limits.limit_for(ref.value_bytes):
            return load_value(store, ref, asset, folder)

    return dict(zip(refs, for_each(refs.items(), load), strict=True))
