"""A process that stores a value of two parts, and pauses until it reads a line.

Its arguments are a store's URI, the point to pause at, and the endpoint if the store is in S3. It
prints `stopped`, waits for a line on stdin, and finally prints the value's ref.
"""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Iterator

from flowyml_aws.artifacts.content import PART_BYTES, Buffer, Content
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.artifacts.values import EncodedValue
from flowyml_aws.aws.s3.store import S3ArtifactStore
from flowyml_aws.local.directory import DirectoryArtifactStore
from tests.support.s3_client import s3_client

__all__ = ["BEFORE_THE_END", "BETWEEN_PARTS", "VALUE"]

VALUE = random.Random(0).randbytes(PART_BYTES + 1000)
"""Incompressible bytes."""
BETWEEN_PARTS = "between parts"
BEFORE_THE_END = "before the end"


class _Stopping(Content):
    """Content that pauses while it is stored: after the first part, before the second."""

    def __init__(self, value: bytes, where: str) -> None:
        super().__init__(value)
        self._where = ""
        _ = self.part_digests  # also reads the parts
        self._where = where
        self.first_is_written = threading.Event()

    def part(self, index: int) -> Iterator[Buffer]:
        if index == 1 and self._where == BETWEEN_PARTS:
            self.first_is_written.wait()
            self._where = ""  # a client can read a part several times
            stop()
        return super().part(index)

    def chunks(self) -> Iterator[Buffer]:
        for chunk in super().chunks():
            yield chunk
            self.first_is_written.set()
        if self._where == BEFORE_THE_END:
            stop()


def stop() -> None:
    print("stopped", flush=True)
    sys.stdin.readline()


def main(uri: str, where: str, endpoint: str = "") -> None:
    content = _Stopping(VALUE, where)
    store: ArtifactStore
    if endpoint:
        client = s3_client(endpoint)
        store = S3ArtifactStore.from_uri(client, uri)
        on = client.meta.events.register
        on("after-call.s3.UploadPart", lambda **_: content.first_is_written.set())
        if where == BEFORE_THE_END:
            on("before-call.s3.CompleteMultipartUpload", lambda **_: stop())
    else:
        store = DirectoryArtifactStore.from_uri(uri)
    print(EncodedValue("weights", "bytes/1", content, None).save(store).model_dump_json())


if __name__ == "__main__":
    main(*sys.argv[1:])
