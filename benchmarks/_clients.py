"""S3 clients that `clients.py` compares, each used as an expert would use it.

Each function connects a client, and returns its functions to save a buffer and to load it into new
memory.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._s3 import BUCKET, KEY, SECRET, s3_client

__all__ = ["AT_ONCE", "CLIENTS", "MIB", "PART_BYTES", "SIZE_MIB", "missing", "new_memory"]

MIB = 1 << 20
SIZE_MIB = 256
PART_BYTES, AT_ONCE = 16 * MIB, 16  # the same for all clients

Client = tuple[Callable[[Any], object], Callable[[], Any]]


def own_calls(endpoint: str) -> Client:
    """Send a call for each part, hashed before and verified after the transfer."""
    from flowyml_aws.artifacts.content import Content
    from flowyml_aws.artifacts.reading import read_to_memory
    from flowyml_aws.artifacts.refs import ArtifactRef
    from flowyml_aws.aws.s3.store import S3ArtifactStore

    store = S3ArtifactStore(s3_client(endpoint), BUCKET, "own")
    store.put("warm", b"")
    ref_key = "ref.json"

    def save(data: Any) -> None:
        content = Content(data)
        sha256 = content.sha256
        key = f"artifacts/{sha256[:2]}/{sha256}"
        store.upload(key, content)
        uri = f"{store.uri}/{key}"
        ref = ArtifactRef(uri=uri, sha256=sha256, size_bytes=len(data), codec="bytes/1")
        store.put(ref_key, ref.to_json())

    def load() -> Any:
        return read_to_memory(store, ArtifactRef.model_validate_json(store.get(ref_key)))

    return save, load


def transfer_manager(endpoint: str) -> Client:
    """Use boto3's upload_fileobj and download_fileobj, without verification."""
    from boto3.s3.transfer import TransferConfig

    from benchmarks.artifacts import View

    client = s3_client(endpoint)
    client.list_objects_v2(Bucket=BUCKET, MaxKeys=1)
    config = TransferConfig(multipart_chunksize=PART_BYTES, max_concurrency=AT_ONCE)

    def save(data: Any) -> None:
        client.upload_fileobj(View(data), BUCKET, "manager", Config=config)

    def load() -> Any:
        data = new_memory()
        client.download_fileobj(BUCKET, "manager", MemoryFile(data), Config=config)
        return data

    return save, load


class MemoryFile:
    """A file object that writes into memory of a fixed size."""

    def __init__(self, memory: memoryview) -> None:
        self._memory, self._position = memory, 0

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int) -> int:
        self._position = offset
        return offset

    def write(self, data: bytes) -> int:
        end = self._position + len(data)
        self._memory[self._position : end] = data
        self._position = end
        return len(data)


def obstore(endpoint: str, *, signed: bool) -> Client:
    """Use Rust's object_store, without verification. It hashes a payload that it signs."""
    import obstore as package
    from obstore.store import S3Store

    store = S3Store(
        BUCKET,
        endpoint=endpoint,
        access_key_id=KEY,
        secret_access_key=SECRET,
        region="us-east-1",
        virtual_hosted_style_request=False,
        unsigned_payload=not signed,
        client_options={"allow_http": True},
    )
    package.put(store, "warm", b"")

    def save(data: Any) -> None:
        package.put(
            store,
            "obstore",
            data,
            use_multipart=True,
            chunk_size=PART_BYTES,
            max_concurrency=AT_ONCE,
        )

    def load() -> Any:
        # As one stream: it expects status 206 for ranges, but rclone responds with 200.
        data, position = new_memory(), 0
        for chunk in package.get(store, "obstore").stream(min_chunk_size=MIB):
            data[position : position + len(chunk)] = chunk
            position += len(chunk)
        return data

    return save, load


def awscrt(endpoint: str) -> Client:
    """Use the C library of the AWS SDKs, without verification."""
    from awscrt.auth import AwsCredentialsProvider
    from awscrt.http import HttpHeaders, HttpRequest
    from awscrt.s3 import (
        S3Client,
        S3RequestTlsMode,
        S3RequestType,
        create_default_s3_signing_config,
    )

    credentials = AwsCredentialsProvider.new_static(KEY, SECRET)
    client = S3Client(
        region="us-east-1",
        tls_mode=S3RequestTlsMode.DISABLED,
        signing_config=create_default_s3_signing_config(
            region="us-east-1", credential_provider=credentials
        ),
        part_size=PART_BYTES,
        # Saves in one request: it does not find the upload's id in rclone's response.
        multipart_upload_threshold=2 * SIZE_MIB * MIB,
        max_active_connections_override=AT_ONCE,
    )
    host = endpoint.removeprefix("http://")

    def transfer(method: str, size: int, body: Any = None, on_body: Any = None) -> None:
        headers = HttpHeaders([("host", host)])
        if body is not None:
            headers.add("content-length", str(size))
        request = HttpRequest(method, f"/{BUCKET}/awscrt", headers, body)
        kind = S3RequestType.PUT_OBJECT if method == "PUT" else S3RequestType.GET_OBJECT
        client.make_request(type=kind, request=request, on_body=on_body).finished_future.result()

    def save(data: Any) -> None:
        import io

        transfer("PUT", len(data), body=io.BytesIO(data))

    def load() -> Any:
        data = new_memory()

        def on_body(chunk: bytes, offset: int, **_: object) -> None:
            data[offset : offset + len(chunk)] = chunk

        transfer("GET", 0, on_body=on_body)
        return data

    return save, load


def s5cmd(endpoint: str) -> Client:
    """Use a separate program, written in Go, through a pipe, without verification."""
    program = _s5cmd()
    assert program is not None
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    start = [program, "--endpoint-url", endpoint]
    options = ["--concurrency", str(AT_ONCE), "--part-size", str(PART_BYTES // MIB)]
    uri = f"s3://{BUCKET}/s5cmd"

    def save(data: Any) -> None:
        subprocess.run([*start, "pipe", *options, uri], input=data, env=environment, check=True)

    def load() -> Any:
        data, position = new_memory(), 0
        cat = [*start, "cat", *options, uri]
        with subprocess.Popen(cat, env=environment, stdout=subprocess.PIPE, bufsize=0) as process:
            assert process.stdout is not None
            while count := process.stdout.readinto(data[position:]):  # type: ignore[attr-defined]
                position += count
        return data

    return save, load


def new_memory(size_mib: int = SIZE_MIB) -> memoryview:
    """Return memory that was not used before, in huge pages if the system has them."""
    return memoryview(np.empty(size_mib * MIB, np.uint8))


def _s5cmd() -> str | None:
    return shutil.which(
        "s5cmd", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )


CLIENTS: dict[str, Callable[[str], Client]] = {
    "own calls": own_calls,
    "boto3's transfer manager": transfer_manager,
    "obstore": partial(obstore, signed=False),
    "obstore, signed payload": partial(obstore, signed=True),
    "awscrt": awscrt,
    "s5cmd": s5cmd,
}


def missing() -> list[str]:
    """Return the programs and packages of clients that are not installed."""
    packages = [name for name in ("obstore", "awscrt") if find_spec(name) is None]
    return packages + ["s5cmd"] * (_s5cmd() is None)
