"""A process that stores a value of two parts and stops on its way until it is told to go on.

Its arguments: a store's URI, where it stops, and S3's endpoint for a store there. It writes
`stopped`, waits for a line, and at the end writes the value's ref.
"""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Iterator

from flowyml_aws.artifacts.codecs.plain import BytesCodec
from flowyml_aws.artifacts.content import PART_BYTES, Buffer, Content
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.artifacts.values import EncodedValue
from flowyml_aws.aws.s3 import S3ArtifactStore
from flowyml_aws.local.directory import DirectoryArtifactStore
from tests.support.moto_server import s3_client

__all__ = ["BEFORE_THE_END", "BETWEEN_PARTS", "VALUE"]

VALUE = random.Random(0).randbytes(PART_BYTES + 1000)
"""Which no compression makes smaller."""
BETWEEN_PARTS = "between parts"
BEFORE_THE_END = "before the end"


class _Stopping(Content):
    """A content that stops while it is stored: the first part is written, the second is not."""

    def __init__(self, value: bytes, where: str) -> None:
        super().__init__(value)
        self._where = ""
        _ = self.part_digests  # which asks for the parts, too
        self._where = where
        self.first_is_written = threading.Event()

    def part(self, index: int) -> Iterator[Buffer]:
        if index == 1 and self._where == BETWEEN_PARTS:
            self.first_is_written.wait()
            self._where = ""  # a client asks for a part more than once
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
    print(EncodedValue("weights", BytesCodec(), content, None).save(store).model_dump_json())


if __name__ == "__main__":
    main(*sys.argv[1:])
