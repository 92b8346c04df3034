"""Concurrent storing and loading of several values, each of which mostly waits for the store.

Values are encoded and decoded one after the other, in the caller's thread: pickling runs code of
the values' classes, which may depend on the thread (decimal contexts, thread-local variables,
libraries that work only in the main thread). Only bytes move in other threads.

Values of more than one part are transferred one at a time, each with all its parts in parallel.
Of the values of more than one chunk, a few are transferred at once. So the copies that encoding
and decoding make are in memory for one large value, a few of up to a part's size, and small ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from flowyml_aws.artifacts.content import CHUNK_BYTES, PART_BYTES
from flowyml_aws.artifacts.fetching import FetchedValue, fetch_value
from flowyml_aws.artifacts.folder_index import FolderIndex
from flowyml_aws.artifacts.folder_transfer import load_folder
from flowyml_aws.artifacts.joint_reads import JointReads, group_by_object
from flowyml_aws.artifacts.list_index import ListIndex, ListItem
from flowyml_aws.artifacts.packs import PACK_BYTES
from flowyml_aws.artifacts.parallel import CONNECTIONS, PART_SLOTS
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.artifacts.values import EncodedValue, encode_value, save_pack
from flowyml_aws.core.maps import item_name

__all__ = ["load_list", "load_values", "save_encoded", "save_items", "save_values"]

Result = TypeVar("Result")

_AT_ONCE = {"large": 1, "medium": PART_SLOTS.count // 2, "small": CONNECTIONS // 2}


def save_values(store: ArtifactStore, values: Mapping[str, Any]) -> dict[str, ArtifactRef]:
    """Store the values of several assets. Return their refs by asset.

    Args:
        store: Target store.
        values: Values by asset. They must not change until they are stored.

    Raises:
        UnstorableValueError: One of the values cannot be stored. Others may have been stored.
    """
    encoded = (encode_value(asset, value) for asset, value in values.items())
    if len(values) < 2:
        return {value.asset: value.save(store) for value in encoded}
    saved = save_encoded(store, encoded)
    return {asset: saved[asset] for asset in values}


def save_encoded(store: ArtifactStore, values: Iterable[EncodedValue]) -> dict[str, ArtifactRef]:
    """Store encoded values: small ones together in packs. Return their refs by asset.

    Raises:
        UnstorableValueError: One of the values cannot be stored. Others may have been stored.
    """
    saved: dict[str, ArtifactRef] = {}
    for refs in _in_order(_uploads(store, values)):
        saved.update(refs)
    return saved


def save_items(store: ArtifactStore, asset: str, values: Sequence[Any]) -> ListIndex:
    """Store the items of a list one by one, small ones in packs. Return their index.

    Raises:
        UnstorableValueError: An item cannot be stored.
    """
    named = {item_name(asset, position): value for position, value in enumerate(values)}
    refs = save_values(store, named).values()
    items = tuple(ListItem(position=position, ref=ref) for position, ref in enumerate(refs))
    return ListIndex(length=len(items), items=items)


def load_values(
    store: ArtifactStore,
    refs: Mapping[str, ArtifactRef],
    folder: Path,
    *,
    allow_pickle: bool = True,
    contents: Mapping[str, bytes] | None = None,
) -> dict[str, Any]:
    """Load the values of several assets, by asset. See `load_value` for other arguments and errors.

    The items of a list that are stored one by one are loaded like several values, and the files of
    a folder into a new folder.

    Args:
        contents: Bytes of small values by their digest, which need not be read.
    """

    def fetch(refs: Mapping[str, ArtifactRef]) -> list[FetchedValue]:
        reads = JointReads(store, refs.values(), contents or {})
        return [
            fetch_value(reads, ref, asset, folder, allow_pickle=allow_pickle)
            for asset, ref in refs.items()
        ]

    values = _load_stored(fetch, refs)
    for asset, value in values.items():
        if type(value) is FolderIndex:
            values[asset] = load_folder(store, value, asset, folder)
    lists = {asset: value for asset, value in values.items() if type(value) is ListIndex}
    if not lists:
        return values
    items = {
        (asset, item.position): item.ref
        for asset, stored in lists.items()
        for item in stored.items
        if item.ref is not None
    }
    named = {item_name(*place): ref for place, ref in items.items()}
    loaded = _load_stored(fetch, named)
    values.update((asset, []) for asset in lists)
    for asset, position in items:
        values[asset].append(loaded.pop(item_name(asset, position)))
    return values


def load_list(
    store: ArtifactStore,
    ref: ArtifactRef,
    asset: str,
    folder: Path,
    contents: Mapping[str, bytes],
) -> Any:
    """Return the index of a list whose items are stored one by one; another value is loaded."""
    return fetch_value(JointReads(store, [ref], contents), ref, asset, folder).decode()


def _load_stored(
    fetch: Callable[[Mapping[str, ArtifactRef]], list[FetchedValue]],
    refs: Mapping[str, ArtifactRef],
) -> dict[str, Any]:
    """Load values; those of lists whose items are stored one by one are their indexes."""
    groups = group_by_object(refs)
    if len(groups) < 2:
        return {value.asset: value.decode() for group in groups for value in fetch(group)}
    fetches = (
        (sum(ref.value_bytes for ref in group.values()), partial(fetch, group)) for group in groups
    )
    loaded = {value.asset: value.decode() for fetched in _in_order(fetches) for value in fetched}
    return {asset: loaded[asset] for asset in refs}


def _uploads(
    store: ArtifactStore, values: Iterable[EncodedValue]
) -> Iterator[tuple[int, Callable[[], dict[str, ArtifactRef]]]]:
    """Yield the size of each object, and the function that stores it."""
    small: list[EncodedValue] = []
    small_bytes = 0
    for value in values:
        size_bytes = value.content.size_bytes
        if value.is_packed:
            small.append(value)
            small_bytes += size_bytes
            if small_bytes >= PACK_BYTES:
                yield small_bytes, partial(save_pack, store, small)
                small, small_bytes = [], 0
        elif size_bytes <= PART_BYTES:
            yield size_bytes, partial(_save, store, value)
        else:
            # Before the next value is encoded: each could be a copy.
            refs = _save(store, value)
            yield 0, partial(dict, refs)
    if small:
        yield small_bytes, partial(save_pack, store, small)


def _save(store: ArtifactStore, value: EncodedValue) -> dict[str, ArtifactRef]:
    return {value.asset: value.save(store)}


def _in_order(transfers: Iterable[tuple[int, Callable[[], Result]]]) -> Iterator[Result]:
    """Yield the results of transfers in their order, and run as many at once as sizes allow.

    A transfer counts until its result was used: until the next one is requested. After a failure,
    no further transfer is started.

    Args:
        transfers: Sizes in bytes, and functions to call in other threads.
    """
    free = dict(_AT_ONCE)
    running: deque[tuple[str, Future[Result]]] = deque()
    with ThreadPoolExecutor(sum(free.values())) as pool:
        try:
            for size_bytes, transfer in transfers:
                kind = _kind(size_bytes)
                while not free[kind]:
                    yield running[0][1].result()
                    free[running.popleft()[0]] += 1
                free[kind] -= 1
                running.append((kind, pool.submit(transfer)))
            while running:
                yield running[0][1].result()
                running.popleft()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _kind(size_bytes: int) -> str:
    if size_bytes > PART_BYTES:
        return "large"
    return "medium" if size_bytes > CHUNK_BYTES else "small"
