"""Comparison of S3 clients for large values, the basis of ADR 7.

Compares boto3's transfer manager, our own calls for parts, and obstore and s5cmd if they are
installed, with `rclone serve s3` on this machine. Each measurement runs in a separate process.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks._measuring import Peak, arguments, clean_environment, command, report
from benchmarks._results import row
from benchmarks._s3 import BUCKET, KEY, SECRET, rclone, s3_client

MIB = 1 << 20
SIZE_MIB = 128
PART_BYTES, AT_ONCE = 16 * MIB, 16  # the same for all clients


# Each function connects a client, and returns its functions to save a buffer and to load it.


def own_calls(endpoint: str) -> tuple[Callable[[Any], object], Callable[[], Any]]:
    """Send a call for each part, with its checksum, from and into the value's own memory."""
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


def transfer_manager(endpoint: str) -> tuple[Callable[[Any], object], Callable[[], Any]]:
    """Use boto3's upload_fileobj and download_fileobj, without verification."""
    import io

    from boto3.s3.transfer import TransferConfig

    from benchmarks.artifacts import View

    client = s3_client(endpoint)
    client.list_objects_v2(Bucket=BUCKET, MaxKeys=1)
    config = TransferConfig(multipart_chunksize=PART_BYTES, max_concurrency=AT_ONCE)

    def load() -> Any:
        data = io.BytesIO()
        client.download_fileobj(BUCKET, "manager", data, Config=config)
        return data.getbuffer()

    def save(data: Any) -> None:
        client.upload_fileobj(View(data), BUCKET, "manager", Config=config)

    return save, load


def obstore(endpoint: str) -> tuple[Callable[[Any], object], Callable[[], Any]]:
    """Use Rust's object_store, without verification."""
    import obstore as package
    from obstore.store import S3Store

    store = S3Store(
        BUCKET,
        endpoint=endpoint,
        access_key_id=KEY,
        secret_access_key=SECRET,
        region="us-east-1",
        virtual_hosted_style_request=False,
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
        data = bytearray(SIZE_MIB * MIB)
        position = 0
        for chunk in package.get(store, "obstore").stream(min_chunk_size=MIB):
            data[position : position + len(chunk)] = chunk
            position += len(chunk)
        return data

    return save, load


def s5cmd(endpoint: str) -> tuple[Callable[[Any], object], Callable[[], Any]]:
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
        cat = [*start, "cat", *options, uri]
        return subprocess.run(cat, env=environment, stdout=subprocess.PIPE, check=True).stdout

    return save, load


CLIENTS = {
    "own calls": own_calls,
    "boto3's transfer manager": transfer_manager,
    "obstore": obstore,
    "s5cmd": s5cmd,
}


def _s5cmd() -> str | None:
    return shutil.which(
        "s5cmd", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )


def measure(client: str, endpoint: str, action: str) -> tuple[float, float, float]:
    """Return seconds, processor seconds with those of children, and MiB without the value."""
    generator = random.Random(0)
    data = b"".join(generator.randbytes(MIB) for _ in range(SIZE_MIB))
    save, load = CLIENTS[client](endpoint)
    peak, cpu_s, started = Peak(), _cpu_s(), time.monotonic()
    loaded = load() if action == "load" else save(data)
    seconds, cpu_s = time.monotonic() - started, _cpu_s() - cpu_s
    memory_mib = peak.mib()
    if action == "load":
        assert loaded == data
        memory_mib -= SIZE_MIB
    return seconds, cpu_s, memory_mib


def _cpu_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> int:
    options = arguments(__doc__, repetitions=5)
    missing = [name for name in ("obstore",) if find_spec(name) is None]
    missing += ["s5cmd"] * (_s5cmd() is None)
    clients = [client for client in CLIENTS if client not in missing]
    results: dict[str, list[Sequence[float]]] = {
        f"{action} {client}": [] for action in ("save", "load") for client in clients
    }
    with tempfile.TemporaryDirectory() as name, rclone(Path(name)) as endpoint:
        for number in range(options.repetitions):
            for action in ("save", "load"):
                for client in clients if number % 2 == 0 else clients[::-1]:
                    output = command(
                        *("-m", "benchmarks.clients", "--measure", client, endpoint, action),
                        environment=clean_environment(),
                        folder=Path(__file__).parents[1],
                    )
                    results[f"{action} {client}"].append(json.loads(output.splitlines()[-1]))
    rows, measured = [], []
    for name, rounds in results.items():
        seconds, cpu_s = median(each[0] for each in rounds), median(each[1] for each in rounds)
        own_rounds = results[f"{name.split()[0]} own calls"]
        ratio = median(each[0] / own[0] for each, own in zip(rounds, own_rounds, strict=True))
        memory = max(each[2] for each in rounds)
        action, _, client = name.partition(" ")
        peers = [peer for peer in clients if client == "own calls" != peer]
        for column, what in enumerate(("time", "processor time")):
            others = {p: [each[column] for each in results[f"{action} {p}"]] for p in peers}
            values = [each[column] for each in rounds]
            measured.append(row(f"{name}, {SIZE_MIB} MiB: {what}", "s", values, others))
        numbers = (f"{seconds:.2f}", f"{ratio:.2f}", f"{cpu_s:.2f}", f"{memory:.0f}")
        rows.append((f"{name}, {SIZE_MIB} MiB", *numbers))
    columns = ["", "seconds", "of own calls'", "processor seconds", "MiB without the value"]
    notes = [f"{name} is not installed: not compared" for name in missing]
    return report(columns, rows, [], notes, results, options.json, measured)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(*sys.argv[2:])))
    else:
        sys.exit(main())
