"""The argument of the runner: the place of a job's spec, and its digest."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from flowyml_aws.artifacts.documents import read_document
from flowyml_aws.artifacts.packs import read_part
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.errors import DamagedArtifactError
from flowyml_aws.runtime.spec import JobSpec

__all__ = ["SpecArgument"]

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
                why="it must be <uri of a pack of specs>#sha256=<digest>,bytes=<offset>+<size>",
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
        actual = hashlib.sha256(data).hexdigest()
        if actual != self.sha256:
            raise DamagedArtifactError(
                what=f"{uri} does not contain the spec that was submitted",
                why=f"the SHA-256 of its bytes is {actual}, the job's argument says {self.sha256}",
                fix="run the pipeline again; nothing was unpickled",
            )
        return read_document(JobSpec, data, uri)
