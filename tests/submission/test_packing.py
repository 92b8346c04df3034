from __future__ import annotations

import hashlib
from collections.abc import Iterator

from flowyml_aws.artifacts.content import Content
from flowyml_aws.artifacts.documents import read_document
from flowyml_aws.artifacts.packs import SMALL_BYTES
from flowyml_aws.packaging.payload import StepPayload
from flowyml_aws.runtime.spec import JobSpec, SpecPack
from flowyml_aws.submission.packing import StoredPayloads, pack_payloads, pack_specs
from tests.support.plans import a_spec


def specs_of(jobs: int, padding: str = "") -> list[JobSpec]:
    return [a_spec(f"job-{number}", padding) for number in range(jobs)]


def test_the_place_of_a_spec_has_its_bytes_and_its_digest() -> None:
    specs = specs_of(3)
    (pack,) = pack_specs(specs)
    for spec, (job, place) in zip(specs, pack.places.items(), strict=True):
        data = pack.data[place.offset : place.offset + place.size_bytes]
        assert (job, data) == (spec.job, spec.to_json())
        assert place.sha256 == hashlib.sha256(data).hexdigest()


def test_a_pack_of_specs_is_one_json_document() -> None:
    specs = specs_of(3)
    (pack,) = pack_specs(specs)
    assert read_document(SpecPack, pack.data, "pack").specs == tuple(specs)


def test_specs_of_any_size_are_packed_by_the_hundred() -> None:
    packs = list(pack_specs(specs_of(250, padding="x" * 2**14)))
    assert [len(pack.places) for pack in packs] == [100, 100, 50]
    assert [place.pack for pack in packs for place in pack.places.values()] == (
        [0] * 100 + [1] * 100 + [2] * 50
    )


def test_hundreds_of_small_specs_are_in_one_pack() -> None:
    assert len(list(pack_specs(specs_of(300)))) == 1


def bytes_of(content: Content) -> bytes:
    return b"".join(content.chunks())


def content_of(stored: StoredPayloads, payload: StepPayload) -> bytes:
    place = stored.place(payload.sha256)
    start = place.offset or 0
    return bytes_of(stored.objects[place.key])[start : start + place.size_bytes]


def test_small_payloads_are_in_one_object() -> None:
    payloads = [StepPayload(b"%d" % number) for number in range(50)]
    stored = pack_payloads(payloads)
    assert len(stored.objects) == 1
    assert [content_of(stored, payload) for payload in payloads] == [p.data for p in payloads]


def test_a_large_payload_and_large_values_have_objects_of_their_own() -> None:
    value = b"v" * (SMALL_BYTES + 2)
    shared = (hashlib.sha256(value).hexdigest(), value)
    large = StepPayload(b"p" * (SMALL_BYTES + 1), [shared])
    others = [StepPayload(b"1", [shared]), StepPayload(b"2", [shared])]
    stored = pack_payloads([large, *others])
    assert len(stored.objects) == 3  # large, the value of all three, and the pack
    assert content_of(stored, large) == large.data
    assert stored.place(large.sha256).offset is None
    assert bytes_of(stored.objects[stored.place(shared[0]).key]) == value


def test_a_single_payload_is_stored_as_it_is() -> None:
    payload = StepPayload(b"steps")
    stored = pack_payloads([payload])
    assert stored.objects.keys() == {f"payloads/{payload.sha256}"}
    assert content_of(stored, payload) == b"steps"


def test_a_pack_refers_to_the_payloads_without_a_copy() -> None:
    payloads = [StepPayload(b"one"), StepPayload(b"two")]
    (pack,) = pack_payloads(payloads).objects.values()
    members = [chunk.obj for chunk in pack.chunks() if isinstance(chunk, memoryview)]
    assert all(any(member is payload.data for member in members) for payload in payloads)


def test_one_pack_of_specs_is_in_memory_at_a_time() -> None:
    made: list[str] = []

    def specs() -> Iterator[JobSpec]:
        for spec in specs_of(300, padding="x" * 2**14):
            made.append(spec.job)
            yield spec

    next(pack_specs(specs()))
    assert len(made) == 101
