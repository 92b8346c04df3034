"""Packing of a run's specs and payloads, so that many jobs cost few requests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from flowyml_aws.artifacts.content import Content
from flowyml_aws.artifacts.layout import payload_key, payload_pack_key
from flowyml_aws.artifacts.packs import SMALL_BYTES, Member, make_packs
from flowyml_aws.packaging.payload import StepPayload
from flowyml_aws.runtime.spec import JobSpec, StoredObject
from flowyml_aws.runtime.specs import SpecIndex
from flowyml_aws.submission.record import SpecPlace

__all__ = ["PackedSpecs", "StoredPayloads", "pack_payloads", "pack_specs", "spec_index"]

# A pack of specs is full when it has both. Reading a run's references needs a whole pack in memory.
_FULL_BYTES = 1024 * 1024
_FULL_SPECS = 100

# The JSON of a SpecPack around the specs, whose bytes are the same as those of each spec alone.
_BEFORE, _BETWEEN, _AFTER = b'{"version":1,"specs":[\n', b",\n", b"\n]}\n"


@dataclass(frozen=True, slots=True)
class PackedSpecs:
    """A pack of specs as JSON, and the place of each spec by job."""

    number: int
    data: bytes
    places: Mapping[str, SpecPlace]


@dataclass(frozen=True, slots=True)
class StoredPayloads:
    """Payloads as objects of the store.

    Attributes:
        objects: Contents by key.
        packed: Key of the pack of each payload that is in one, with its place there, by digest.
    """

    objects: Mapping[str, Content]
    packed: Mapping[str, tuple[str, Member]]

    def place(self, sha256: str) -> StoredObject:
        """Return the place of a payload or a large value.

        Args:
            sha256: Its digest.
        """
        if sha256 in self.packed:
            key, member = self.packed[sha256]
            return StoredObject(
                key=key, sha256=sha256, size_bytes=member.size_bytes, offset=member.offset
            )
        key = payload_key(sha256)
        return StoredObject(key=key, sha256=sha256, size_bytes=self.objects[key].size_bytes)


def pack_specs(specs: Iterable[JobSpec]) -> Iterator[PackedSpecs]:
    """Yield packs of specs, each as soon as it is full."""
    number, parts, places, offset = 0, [_BEFORE], dict[str, SpecPlace](), len(_BEFORE)
    for spec in specs:
        if len(places) >= _FULL_SPECS and offset >= _FULL_BYTES:
            yield PackedSpecs(number, b"".join((*parts, _AFTER)), places)
            number, parts, places, offset = number + 1, [_BEFORE], {}, len(_BEFORE)
        if places:
            parts.append(_BETWEEN)
            offset += len(_BETWEEN)
        data = spec.to_json()
        digest = hashlib.sha256(data).hexdigest()
        places[spec.job] = SpecPlace(
            pack=number, offset=offset, size_bytes=len(data), sha256=digest
        )
        parts.append(data)
        offset += len(data)
    if places:
        yield PackedSpecs(number, b"".join((*parts, _AFTER)), places)


def spec_index(jobs: Iterable[str], places: Mapping[str, SpecPlace]) -> bytes:
    """Return the index of the specs of an array of jobs, as JSON.

    Args:
        jobs: Names of the jobs, by index.
        places: Place of each job's spec.
    """
    found = (places[job] for job in jobs)
    specs = tuple((p.pack, p.offset, p.size_bytes, p.sha256) for p in found)
    return SpecIndex(specs=specs).to_json(indent=None)


def pack_payloads(payloads: Iterable[StepPayload]) -> StoredPayloads:
    """Return the objects of payloads: packs of the small ones, and one object for each other."""
    contents: dict[str, bytes] = {}
    for payload in payloads:
        contents.update(((payload.sha256, payload.data), *payload.large))
    small = {sha256: data for sha256, data in contents.items() if len(data) <= SMALL_BYTES}
    if len(small) < 2:
        small = {}
    objects: dict[str, Content] = {}
    packed: dict[str, tuple[str, Member]] = {}
    for pack in make_packs(small):
        key = payload_pack_key(pack.sha256)
        objects[key] = pack.content
        packed.update((member.sha256, (key, member)) for member in pack.members)
    for sha256, data in contents.items():
        if sha256 not in small:
            objects[payload_key(sha256)] = Content(data)
    return StoredPayloads(objects, packed)
