"""The specs of jobs, as the argument of a runner names them."""

from __future__ import annotations

import hashlib
from typing import Literal

from flowyml_aws.artifacts.documents import Document, read_document
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.packs import read_part
from flowyml_aws.artifacts.store import ObjectReader
from flowyml_aws.core.errors import DamagedArtifactError
from flowyml_aws.runtime.argument import IndexArgument, SpecArgument
from flowyml_aws.runtime.spec import JobSpec

__all__ = ["SpecIndex", "read_spec_at"]


class SpecIndex(Document):
    """The specs of an array of jobs.

    Attributes:
        specs: Number of the pack, offset, size in bytes and SHA-256 of the spec of each child.
    """

    version: Literal[1] = 1
    specs: tuple[tuple[int, int, int, str], ...]


def read_spec_at(store: ObjectReader, place: SpecArgument | IndexArgument) -> JobSpec:
    """Return a spec from the store that the argument names.

    Raises:
        DamagedArtifactError: The bytes are not those that were submitted, or another version wrote
            them.
        ArtifactNotFoundError: An object does not exist.
    """
    if isinstance(place, IndexArgument):
        place = _place_of_child(store, place)
    data = read_part(store, place.key, place.offset, place.size_bytes)
    uri = f"{store.uri}/{place.key}"
    _verify(data, place.sha256, uri)
    return read_document(JobSpec, data, uri)


def _place_of_child(store: ObjectReader, array: IndexArgument) -> SpecArgument:
    data = store.get(array.key)
    uri = f"{store.uri}/{array.key}"
    _verify(data, array.sha256, uri)
    specs = read_document(SpecIndex, data, uri).specs
    if array.index >= len(specs):
        raise DamagedArtifactError(
            what=f"{uri} has no spec for index {array.index}",
            why=f"the array was submitted with {len(specs)} children",
            fix="run the pipeline again",
        )
    pack, offset, size_bytes, sha256 = specs[array.index]
    return SpecArgument(
        array.store, RunLayout(array.run_id).specs(pack), sha256, offset, size_bytes
    )


def _verify(data: bytes, sha256: str, uri: str) -> None:
    actual = hashlib.sha256(data).hexdigest()
    if actual != sha256:
        raise DamagedArtifactError(
            what=f"{uri} does not contain the spec that was submitted",
            why=f"the SHA-256 of its bytes is {actual}, the job's argument says {sha256}",
            fix="run the pipeline again; nothing was unpickled",
        )
