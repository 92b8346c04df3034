"""Several values at once into a store and out of it: most of the time of each is waiting.

Values of several parts go one after the other, each in all of its parts at once; of those that
are more than a piece of a part, a few go at once. So what encoding and decoding copy is in memory
of one large value, of as many of a part's size, and of small ones.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any

from flowyml_aws.artifacts.content import CHUNK_BYTES, PART_BYTES
from flowyml_aws.artifacts.parallel import LANES, for_each
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.artifacts.values import encode_value, load_value

__all__ = ["load_values", "save_values"]

_OF_A_PART_AT_ONCE = LANES.count // 2


class _Turns:
    """Who goes at once with whom, by size.

    Attributes:
        one: Of large values. Whoever has it may take it again.
    """

    def __init__(self) -> None:
        self.one = threading.RLock()
        self._few = threading.BoundedSemaphore(_OF_A_PART_AT_ONCE)

    def of(self, size_bytes: int) -> AbstractContextManager[object]:
        if size_bytes > PART_BYTES:
            return self.one
        return self._few if size_bytes > CHUNK_BYTES else nullcontext()


def save_values(store: ArtifactStore, values: Mapping[str, Any]) -> dict[str, ArtifactRef]:
    """Store the values of some assets; their refs by asset.

    Args:
        store: Where to.
        values: By asset. They must not change meanwhile.

    Raises:
        UnstorableValueError: One of them would not come back the same. Others may be stored.
    """
    turns = _Turns()

    def save(item: tuple[str, Any]) -> ArtifactRef:
        with ExitStack() as turn:
            with turns.one:  # only what is encoded has a size
                encoded = encode_value(*item)
                turn.enter_context(turns.of(encoded.content.size_bytes))
            return encoded.save(store)

    return dict(zip(values, for_each(values.items(), save), strict=True))


def load_values(
    store: ArtifactStore, refs: Mapping[str, ArtifactRef], folder: Path
) -> dict[str, Any]:
    """The values of some assets, by asset; `load_value` says where they lie and what it raises."""
    turns = _Turns()

    def load(item: tuple[str, ArtifactRef]) -> Any:
        asset, ref = item
        with turns.of(ref.value_bytes):
            return load_value(store, ref, asset, folder)

    return dict(zip(refs, for_each(refs.items(), load), strict=True))
