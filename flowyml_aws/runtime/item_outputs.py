"""Outputs of the items of a map, which are stored together.

An item often ends within milliseconds, and its outputs have a few bytes. To store each of them
alone would take longer than to compute them, and the reader of the whole list would need a request
for each. So the outputs wait a moment for those of the next items, and are stored in one pack.
Until then, the item does not count as ended: it has no cache entry, and would be executed again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from flowyml_aws.artifacts.packs import PACK_BYTES
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.artifacts.transfer import save_encoded
from flowyml_aws.artifacts.values import EncodedValue, encode_value
from flowyml_aws.core import clock
from flowyml_aws.core.concurrency import STORE_REQUESTS, map_concurrently

__all__ = ["RESULT_BYTES", "WAIT_S", "ItemOutputs"]

WAIT_S = 1.0
"""Longest time in seconds for which outputs wait, unless the store does not answer.

The events of a job with many steps are written as often, and an item counts only with both. So a
lost host costs hardly more items than if each item was stored alone.
"""

RESULT_BYTES = 96 * 1024
"""Size of the outputs that are also part of the job's result, in bytes.

In base64, they have 128 KiB. A request for so many bytes takes as long as for a few (see
`packs.SMALL_BYTES`).
"""


class ItemOutputs:
    """Small outputs of items that have ended, until they are stored.

    The main thread adds outputs. A thread stores them when the first of them has waited for
    `WAIT_S`, and the main thread does when they fill a pack, or when it needs them.

    Args:
        store: Target store.
        assets: Gets the refs of the outputs when they are stored.

    Attributes:
        contents: Stored bytes by digest, of `RESULT_BYTES` in total.
    """

    def __init__(self, store: ArtifactStore, assets: dict[str, ArtifactRef]) -> None:
        self._store = store
        self._assets = assets
        self.contents: dict[str, bytes] = {}
        # Both are read and changed by single operations of the interpreter, so that the main
        # thread does not wait while the other one stores.
        self._values: dict[str, EncodedValue] = {}
        self._settle: list[Callable[[], None]] = []
        self._storing = threading.RLock()  # an interrupt of the main thread could leave it locked
        self._timer: threading.Timer | None = None
        self._has_failed = False
        self._added_bytes = 0

    def store_large(self, values: Mapping[str, Any]) -> list[EncodedValue]:
        """Store the large ones among the outputs of an item. Return the others, for `add`.

        Raises:
            UnstorableValueError: An output can't be stored.
        """
        small: list[EncodedValue] = []

        def large() -> Iterator[EncodedValue]:
            for asset, value in values.items():
                encoded = encode_value(asset, value)
                if encoded.is_packed:
                    small.append(encoded.detached())
                else:
                    yield encoded

        self._assets.update(save_encoded(self._store, large()))
        return small

    def add(self, values: Iterable[EncodedValue], settle: Callable[[], None]) -> None:
        """Let outputs of an item wait.

        Args:
            values: Outputs from `store_large`.
            settle: Called in any thread when they are stored.

        Raises:
            FlowymlError: The outputs that wait can't be stored.
        """
        for value in values:
            self._values[value.asset] = value
            self._added_bytes += value.content.size_bytes
        self._settle.append(settle)
        if self._added_bytes >= PACK_BYTES or self._has_failed:
            self.flush()
        elif self._timer is None:
            self._timer = threading.Timer(clock.real_s(WAIT_S), self._flush_later)
            self._timer.daemon = True
            self._timer.start()

    def __contains__(self, asset: object) -> bool:
        """Return whether the value of an asset waits."""
        return asset in self._values

    def identity(self, asset: str) -> str | None:
        """Return `ArtifactRef.identity` of a value that waits; None if it does not."""
        value = self._values.get(asset)
        return None if value is None else value.identity

    def flush(self) -> None:
        """Store the outputs that wait, and settle their items.

        Raises:
            FlowymlError: They can't be stored; they continue to wait.
        """
        with self._storing:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._added_bytes, self._has_failed = 0, False
            items = list(self._settle)  # before the values: `add` appends in the other order
            values = list(self._values.values())
            self._assets.update(save_encoded(self._store, values))
            self.keep(values)
            for value in values:
                del self._values[value.asset]
            map_concurrently(lambda settle: settle(), items, limit=STORE_REQUESTS)
            del self._settle[: len(items)]

    def _flush_later(self) -> None:
        try:
            self.flush()
        except Exception:  # at the end of the next item, the main thread repeats it
            self._has_failed = True

    def keep(self, values: Iterable[EncodedValue]) -> None:
        """Add stored values to `contents`, if there is room for them."""
        free = RESULT_BYTES - sum(map(len, self.contents.values()))
        for value in values:
            size_bytes = value.content.size_bytes
            if value.is_packed and size_bytes <= free and value.sha256 not in self.contents:
                self.contents[value.sha256] = value.read()
                free -= size_bytes
