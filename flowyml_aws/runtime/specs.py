"""The argument of the runner: the place of a job's spec, and its digest.

All children of an array job have the same argument. It has the place and the digest of an index,
which has the place and the digest of the spec of each child.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from flowyml_aws.artifacts.documents import Document, read_document
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.packs import read_part
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.errors import DamagedArtifactError
from flowyml_aws.runtime.spec import JobSpec

__all__ = ["ARRAY_INDEX", "IndexArgument", "SpecArgument", "SpecIndex", "parse_argument"]

ARRAY_INDEX = "AWS_BATCH_JOB_ARRAY_INDEX"
"""Variable with the index of a child of an array job, from 0 (user guide of AWS Batch, "Array
jobs")."""

_INDEX = re.compile(
    r"(?P<store>.+)/(?P<key>runs/(?P<run>[^/]+)/arrays/[^/]+)#sha256=(?P<sha256>[0-9a-f]{64})"
)
_ARGUMENT = re.compile(
    r"(?P<store>.+)/(?P<key>runs/[^/]+/specs/[^/]+)"
    r"#sha256=(?P<sha256>[0-9a-f]{64}),bytes=(?P<offset>\d{1,15})\+(?P<size>\d{1,15})"
)


@dataclass(frozen=True, slots=True)
class SpecArgument:
    """The place of a spec in a pack of specs, and its digest.

    Attributes:
        store: URI of the store.
        key: Key of the pack.
    """

    store: str
    key: str
    sha256: str
    offset: int
    size_bytes: int

    @classmethod
    def parse(cls, argument: str) -> SpecArgument:
        """Return the place in an argument, `<uri>#sha256=<digest>,bytes=<offset>+<size>`.

        Raises:
            DamagedArtifactError: The argument has another form, as those of earlier versions.
        """
        match = _ARGUMENT.fullmatch(argument)
        if match is None:
            raise DamagedArtifactError(
                what=f"{argument} is not the argument of a job of this version of flowyml-aws",
                why="it must be <uri of a pack of specs>#sha256=<digest>,bytes=<offset>+<size>, "
                "or <uri of the index of an array>#sha256=<digest>",
                fix="use the same version of flowyml-aws in the client and in the image, "
                "and run the pipeline again",
            )
        return cls(
            store=match["store"],
            key=match["key"],
            sha256=match["sha256"],
            offset=int(match["offset"]),
            size_bytes=int(match["size"]),
        )

    def read(self, store: ArtifactStore) -> JobSpec:
        """Return the spec from the store that the argument names.

        Raises:
            DamagedArtifactError: The bytes are not the spec that was submitted, or another version
                wrote it.
            ArtifactNotFoundError: The object does not exist.
        """
        data = read_part(store, self.key, self.offset, self.size_bytes)
        uri = f"{store.uri}/{self.key}"
        _verify(data, self.sha256, uri)
        return read_document(JobSpec, data, uri)


class SpecIndex(Document):
    """The specs of an array of jobs.

    Attributes:
        specs: Number of the pack, offset, size in bytes and SHA-256 of the spec of each child.
    """

    version: Literal[1] = 1
    specs: tuple[tuple[int, int, int, str], ...]


@dataclass(frozen=True, slots=True)
class IndexArgument:
    """The place of the index of an array, and its digest.

    Attributes:
        store: URI of the store.
        run_id: Run of the array.
        key: Key of the index.
        index: Index of the child.
    """

    store: str
    run_id: str
    key: str
    sha256: str
    index: int

    def read(self, store: ArtifactStore) -> JobSpec:
        """Return the spec of the child from the store that the argument names.

        Raises:
            DamagedArtifactError: The bytes are not those that were submitted, or another version
                wrote them.
            ArtifactNotFoundError: An object does not exist.
        """
        data = store.get(self.key)
        uri = f"{store.uri}/{self.key}"
        _verify(data, self.sha256, uri)
        specs = read_document(SpecIndex, data, uri).specs
        if self.index >= len(specs):
            raise DamagedArtifactError(
                what=f"{uri} has no spec for index {self.index}",
                why=f"the array was submitted with {len(specs)} children",
                fix="run the pipeline again",
            )
        pack, offset, size_bytes, sha256 = specs[self.index]
        key = RunLayout(self.run_id).specs(pack)
        return SpecArgument(self.store, key, sha256, offset, size_bytes).read(store)


def parse_argument(argument: str, environment: Mapping[str, str]) -> SpecArgument | IndexArgument:
    """Return the place in the argument of a runner.

    Args:
        argument: Argument of a single job, or of an array: `<uri>#sha256=<digest>`.
        environment: Environment variables of the runner, which contain the index of a child.

    Raises:
        DamagedArtifactError: The argument has another form, as those of earlier versions.
    """
    match = _INDEX.fullmatch(argument)
    index = environment.get(ARRAY_INDEX, "")
    if match is None or not index.isdecimal():
        return SpecArgument.parse(argument)
    return IndexArgument(match["store"], match["run"], match["key"], match["sha256"], int(index))


def _verify(data: bytes, sha256: str, uri: str) -> None:
    actual = hashlib.sha256(data).hexdigest()
    if actual != sha256:
        raise DamagedArtifactError(
            what=f"{uri} does not contain the spec that was submitted",
            why=f"the SHA-256 of its bytes is {actual}, the job's argument says {sha256}",
            fix="run the pipeline again; nothing was unpickled",
        )
