"""The spec and the code of a job, read while the runner imports its modules.

Imports need the processor, requests wait for the network. What could not be read in time is read by
the store as if nothing had been tried, which repeats calls and reports errors. Digests are verified
where the bytes are used.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.runtime.argument import IndexArgument, SpecArgument

if TYPE_CHECKING:
    from flowyml_aws.artifacts.store import ArtifactStore

__all__ = ["FirstReads", "ReadingAhead"]

_LONGEST_WAIT_S = 10.0
_MAX_BYTES = 64 * 2**20  # the store reads larger objects, so that none is read twice

Read = Callable[[str, "int | None", int], bytes]
"""Reads an object by its key, or the part with an offset and a size."""


class FirstReads:
    """The first objects that a job needs, which threads read.

    Args:
        read: Reads an object, or a part of one.
        place: Place of the job's spec.
    """

    def __init__(self, read: Read, place: SpecArgument | IndexArgument) -> None:
        self._read = read
        self._objects: dict[tuple[str, int | None], Future[bytes]] = {}
        self._are_listed = threading.Event()
        _in_thread(lambda: self._read_all(place))

    def take(self, key: str, offset: int | None) -> bytes | None:
        """Return an object or a part of one, once; None if it was not read.

        Args:
            key: Key of the object.
            offset: Start of the part; None for the whole object.
        """
        self._are_listed.wait(_LONGEST_WAIT_S)
        try:
            return self._objects.pop((key, offset)).result(_LONGEST_WAIT_S)
        except Exception:  # of any kind: the store reads it again
            return None

    def _read_all(self, place: SpecArgument | IndexArgument) -> None:
        try:
            if isinstance(place, IndexArgument):
                place = self._place_of_child(place)
            spec = self._read_verified(place.key, place.offset, place.size_bytes, place.sha256)
            for key, offset, size_bytes in _code_of(json.loads(spec)):
                if size_bytes <= _MAX_BYTES:
                    self._begin(key, offset, size_bytes)
        except Exception:  # noqa: S110 - of any kind: the store reads it again
            pass
        finally:
            self._are_listed.set()

    def _place_of_child(self, array: IndexArgument) -> SpecArgument:
        specs = json.loads(self._read_verified(array.key, None, 0, array.sha256))["specs"]
        pack, offset, size_bytes, sha256 = specs[array.index]
        key = RunLayout(array.run_id).specs(pack)
        return SpecArgument(array.store, key, sha256, offset, size_bytes)

    def _read_verified(self, key: str, offset: int | None, size_bytes: int, sha256: str) -> bytes:
        data = self._read(key, offset, size_bytes)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ValueError(key)
        self._objects[key, offset] = done = Future[bytes]()
        done.set_result(data)
        return data

    def _begin(self, key: str, offset: int | None, size_bytes: int) -> None:
        self._objects[key, offset] = future = Future[bytes]()

        def read() -> None:
            try:
                future.set_result(self._read(key, offset, size_bytes))
            except Exception as error:
                future.set_exception(error)

        _in_thread(read)


@dataclass(frozen=True, slots=True)
class ReadingAhead:
    """A store with objects that were read before."""

    store: ArtifactStore
    reads: FirstReads

    @property
    def uri(self) -> str:
        """URI of the store."""
        return self.store.uri

    def get(self, key: str) -> bytes:
        """Return a document."""
        data = self.reads.take(key, None)
        return self.store.get(key) if data is None else data

    def read_into(self, key: str, offset: int, buffer: memoryview) -> None:
        """Fill a buffer with the object's bytes from an offset."""
        data = self.reads.take(key, offset)
        if data is None or len(data) != len(buffer):
            self.store.read_into(key, offset, buffer)
        else:
            buffer[:] = data


def _code_of(spec: Mapping[str, Any]) -> Iterator[tuple[str, int | None, int]]:
    """Yield the key, the offset and the size of each object with the code of a job (`JobSpec`)."""
    for stored in (spec["code"]["bundle"], spec["payload"], *spec.get("large_values", ())):
        yield stored["key"], stored.get("offset"), stored["size_bytes"]


def _in_thread(call: Callable[[], object]) -> None:
    # A daemon: the process must not wait for an answer that it does not need.
    threading.Thread(target=call, name="first reads", daemon=True).start()
