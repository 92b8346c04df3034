"""Reads of several values of one object with few requests.

Values that are close to each other in a pack are read with one request. A value whose bytes the
reader has already, because they are part of a job's result, is not read at all. The bytes of each
value are verified like those of any other (see `reading.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from flowyml_aws.artifacts.packs import PACK_BYTES, SMALL_BYTES
from flowyml_aws.artifacts.reading import ObjectReader
from flowyml_aws.artifacts.refs import ArtifactRef

__all__ = ["JointReads", "group_by_object"]

_NEAR_BYTES = SMALL_BYTES  # a request for so many bytes more takes as long


def group_by_object(refs: Mapping[str, ArtifactRef]) -> list[dict[str, ArtifactRef]]:
    """Return the refs of each object, by asset, in the order of the first asset of each."""
    groups: dict[str, dict[str, ArtifactRef]] = {}
    for asset, ref in refs.items():
        groups.setdefault(ref.uri, {})[asset] = ref
    return list(groups.values())


@dataclass(slots=True)
class _Range:
    """A range of an object, which is read when a value in it is needed for the first time.

    Attributes:
        data: Its bytes; None until they are read.
        object_bytes: Size of the object; 0 until it is known.
    """

    start: int
    end: int
    data: memoryview | None = None
    object_bytes: int = 0


class JointReads:
    """A reader of several values of one object, for one thread.

    Args:
        store: Store of the object.
        refs: Refs of the values.
        contents: Bytes of values by their digest. Bytes with another digest are ignored.
    """

    def __init__(
        self, store: ObjectReader, refs: Iterable[ArtifactRef], contents: Mapping[str, bytes]
    ) -> None:
        self._store = store
        self._ranges: dict[int, _Range] = {}  # by the offset of each value
        packed: list[ArtifactRef] = []
        for ref in refs:
            data = contents.get(ref.sha256)
            if data is not None and hashlib.sha256(data).hexdigest() == ref.sha256:
                self._ranges[ref.offset] = _Range(
                    ref.offset, ref.offset + len(data), memoryview(data), ref.object_bytes
                )
            elif ref.pack is not None and ref.size_bytes:
                packed.append(ref)
        for near in _near(packed):
            if len(near) > 1:
                joint = _Range(near[0].offset, _end(near[-1]))
                self._ranges.update((ref.offset, joint) for ref in near)

    @property
    def uri(self) -> str:
        """URI of the store."""
        return self._store.uri

    def read_into(self, key: str, offset: int, buffer: memoryview) -> int:
        """Fill a buffer with the object's bytes from an offset. Return the object's size.

        Raises:
            ArtifactNotFoundError: The object does not exist.
            DamagedArtifactError: The object ends before the end of the range.
        """
        joint = self._ranges.get(offset)
        if joint is None or offset + len(buffer) > joint.end:
            return self._store.read_into(key, offset, buffer)
        if joint.data is None:
            data = memoryview(bytearray(joint.end - joint.start))
            joint.object_bytes = self._store.read_into(key, joint.start, data)
            joint.data = data
        if buffer:  # an empty one may be read-only
            buffer[:] = joint.data[offset - joint.start :][: len(buffer)]
        return joint.object_bytes


def _near(refs: Iterable[ArtifactRef]) -> Iterator[Sequence[ArtifactRef]]:
    """Yield the refs of a pack in groups that are read together, in the order of their offsets."""
    group: list[ArtifactRef] = []
    for ref in sorted(refs, key=lambda ref: ref.offset):
        if group and (
            ref.offset - _end(group[-1]) > _NEAR_BYTES
            or _end(ref) - group[0].offset > PACK_BYTES + SMALL_BYTES
        ):
            yield group
            group = []
        group.append(ref)
    if group:
        yield group


def _end(ref: ArtifactRef) -> int:
    return ref.offset + ref.size_bytes
