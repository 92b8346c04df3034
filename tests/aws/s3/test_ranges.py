"""Reads of ranges: directly into memory, over one connection, with the errors of botocore."""

from __future__ import annotations

import io
import socket
import struct
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import IncompleteReadError, ReadTimeoutError, ResponseStreamingError

from flowyml_aws.aws.s3.ranges import read_range

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

pytestmark = pytest.mark.contract

SIZE = 4 << 20
DATA = bytes(range(256)) * (SIZE // 256)
HEADERS = {"Content-Length": str(SIZE), "Content-Range": f"bytes 0-{SIZE - 1}/{SIZE + 5}"}

Serve = Callable[[socket.socket], None]


def client_of(endpoint_url: str) -> S3Client:
    return boto3.client(
        "s3",
        region_name="eu-west-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        endpoint_url=endpoint_url,
        config=Config(retries={"total_max_attempts": 1}, read_timeout=0.2, proxies={}),
    )


@contextmanager
def server(serve: Serve) -> Iterator[S3Client]:
    """Serve one connection in a thread, and yield a client of it."""

    def accept() -> None:
        connection, _ = listener.accept()
        with connection:
            serve(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield client_of("http://127.0.0.1:{}".format(*listener.getsockname()[1:]))
        thread.join()


def respond(connection: socket.socket, data: bytes) -> None:
    """Receive a request, and send a response of `SIZE` bytes that may be cut."""
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        request += connection.recv(1 << 16)
    head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    connection.sendall(f"HTTP/1.1 206 Partial Content\r\n{head}\r\n".encode())
    connection.sendall(data)


def read(client: S3Client) -> bytes:
    buffer = bytearray(SIZE)
    assert read_range(client, "bucket", "key", 0, memoryview(buffer)) == SIZE + 5
    return bytes(buffer)


def test_a_second_range_uses_the_connection_of_the_first() -> None:
    def serve(connection: socket.socket) -> None:
        respond(connection, DATA)
        respond(connection, DATA[::-1])

    with server(serve) as client:
        assert read(client) == DATA
        assert read(client) == DATA[::-1]


def test_bytes_are_received_into_the_buffer_without_a_copy() -> None:
    def serve(connection: socket.socket) -> None:
        respond(connection, DATA)
        respond(connection, DATA)

    with server(serve) as client:
        read(client)  # loads what botocore loads for the first call
        buffer = memoryview(bytearray(SIZE))
        tracemalloc.start()
        read_range(client, "bucket", "key", 0, buffer)
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    assert buffer == DATA
    assert peak_bytes < 1 << 19


def test_a_response_that_ends_too_early_is_incomplete() -> None:
    with (
        server(lambda connection: respond(connection, DATA[:-1])) as client,
        pytest.raises(IncompleteReadError),
    ):
        read(client)


def test_a_response_that_stalls_is_a_timeout() -> None:
    has_failed = threading.Event()

    def stall(connection: socket.socket) -> None:
        respond(connection, DATA[:-1])
        has_failed.wait()

    with server(stall) as client:
        with pytest.raises(ReadTimeoutError, match=client.meta.endpoint_url):
            read(client)
        has_failed.set()


def test_a_connection_that_is_reset_is_an_error_of_the_stream() -> None:
    def reset(connection: socket.socket) -> None:
        respond(connection, DATA[: SIZE // 2])
        # Closing with a linger time of 0 sends RST.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with server(reset) as client, pytest.raises(ResponseStreamingError):
        read(client)


def test_a_response_that_is_no_connection_is_read_like_a_file() -> None:
    client = client_of("http://storage.example")

    def answer(request: Any, **_: object) -> AWSResponse:
        return cast("Any", AWSResponse)(request.url, 206, HEADERS, io.BytesIO(DATA))

    cast("Any", client.meta.events).register("before-send.s3", answer)

    assert read(client) == DATA
