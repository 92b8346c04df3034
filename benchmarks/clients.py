"""Which client of S3 moves large values best: what the decision for one rests on.

boto3's transfer manager, our own calls for parts, obstore and s5cmd, where they are installed, side
by side against `rclone serve s3` on this machine. Each measurement is a process of its own.
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

from benchmarks._measuring import Peak, arguments, clean_environment, command, tell
from benchmarks._s3 import BUCKET, KEY, SECRET, rclone, s3_client

MIB = 1 << 20
SIZE_MIB = 128
PART_BYTES, AT_ONCE = 16 * MIB, 16  # for all alike


# Each saves a buffer, or returns what was saved. What must be there first is made before.


def own_calls(endpoint: str) -> tuple[Callable[[Any], object], Callable[[], Any]]:
    """A call for each part, each with its checksum, from and into the value's own memory."""
    from flowyml_aws.artifacts.content import Content
    from flowyml_aws.artifacts.reading import read_to_memory
    from flowyml_aws.artifacts.refs import ArtifactRef
    from flowyml_aws.aws.s3 import S3ArtifactStore

    store = S3ArtifactStore(s3_client(endpoint), BUCKET, "own")
    store.put("warm", b"")
    noted = "ref.json"

    def save(data: Any) -> None:
        content = Content(data)
        sha256 = content.sha256
        key = f"artifacts/{sha256[:2]}/{sha256}"
        store.upload(key, content)
        uri = f"{store.uri}/{key}"
        ref = ArtifactRef(uri=uri, sha256=sha256, size_bytes=len(data), codec="bytes/1")
        store.put(noted, ref.to_json())

    def load() -> Any:
        return read_to_memory(store, ArtifactRef.model_validate_json(store.get(noted)))

    return save, load


def transfer_manager(endpoint: str) -> tuple[Callable[[Any], object], Callable[[], Any]]:
    """boto3's upload_fileobj and download_fileobj, without a check."""
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
    """Rust's object_store, without a check."""
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
        # As one stream: of ranges it wants status 206, and rclone answers with 200.
        data = bytearray(SIZE_MIB * MIB)
        at = 0
        for chunk in package.get(store, "obstore").stream(min_chunk_size=MIB):
            data[at : at + len(chunk)] = chunk
            at += len(chunk)
        return data

    return save, load


def s5cmd(endpoint: str) -> tuple[Callable[[Any], object], Callable[[], Any]]:
    """A program in Go beside ours, through a pipe, without a check."""
    program = _s5cmd()
    assert program is not None
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    start = [program, "--endpoint-url", endpoint]
    many = ["--concurrency", str(AT_ONCE), "--part-size", str(PART_BYTES // MIB)]
    uri = f"s3://{BUCKET}/s5cmd"

    def save(data: Any) -> None:
        subprocess.run([*start, "pipe", *many, uri], input=data, env=environment, check=True)

    def load() -> Any:
        called = [*start, "cat", *many, uri]
        return subprocess.run(called, env=environment, stdout=subprocess.PIPE, check=True).stdout

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


def measured(who: str, endpoint: str, action: str) -> tuple[float, float, float]:
    """Seconds, processor seconds of this process and its children, MiB beside the value."""
    chance = random.Random(0)
    data = b"".join(chance.randbytes(MIB) for _ in range(SIZE_MIB))
    save, load = CLIENTS[who](endpoint)
    peak, cpu_s, started = Peak(), _cpu_s(), time.monotonic()
    found = load() if action == "load" else save(data)
    seconds, cpu_s = time.monotonic() - started, _cpu_s() - cpu_s
    memory_mib = peak.mib()
    if action == "load":
        assert found == data
        memory_mib -= SIZE_MIB
    return seconds, cpu_s, memory_mib


def _cpu_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> int:
    options = arguments(__doc__, repetitions=5)
    missing = [name for name in ("obstore",) if find_spec(name) is None]
    missing += ["s5cmd"] * (_s5cmd() is None)
    there = [who for who in CLIENTS if who not in missing]
    taken: dict[str, list[Sequence[float]]] = {
        f"{action} {who}": [] for action in ("save", "load") for who in there
    }
    with tempfile.TemporaryDirectory() as name, rclone(Path(name)) as endpoint:
        for number in range(options.repetitions):
            for action in ("save", "load"):
                for who in there if number % 2 == 0 else there[::-1]:
                    told = command(
                        *("-m", "benchmarks.clients", "--measure", who, endpoint, action),
                        environment=clean_environment(),
                        folder=Path(__file__).parents[1],
                    )
                    taken[f"{action} {who}"].append(json.loads(told.splitlines()[-1]))
    rows = []
    for name, all_ in taken.items():
        seconds, cpu_s = median(each[0] for each in all_), median(each[1] for each in all_)
        own = taken[f"{name.split()[0]} own calls"]
        beside = median(each[0] / ours[0] for each, ours in zip(all_, own, strict=True))
        memory = max(each[2] for each in all_)
        numbers = (f"{seconds:.2f}", f"{beside:.2f}", f"{cpu_s:.2f}", f"{memory:.0f}")
        rows.append((f"{name}, {SIZE_MIB} MiB", *numbers))
    columns = ["", "seconds", "of own calls'", "its processor seconds", "MiB beside the value"]
    notes = [f"{name} is not installed: not compared" for name in missing]
    return tell(columns, rows, [], notes, taken, options.json)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measured(*sys.argv[2:])))
    else:
        sys.exit(main())
