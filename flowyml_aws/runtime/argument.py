"""The argument of the runner: the place of a job's spec, and its digest.

All children of an array job have the same argument. It has the place and the digest of an index,
which has the place and the digest of the spec of each child.

The module imports no model of a document: the runner parses its argument before it imports them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from flowyml_aws.core.errors import DamagedArtifactError

__all__ = ["ARRAY_INDEX", "IndexArgument", "SpecArgument", "parse_argument"]

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
