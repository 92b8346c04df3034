"""How fast values go to S3 and come back, and what memory that takes.

Ours, boto3 streaming the same buffer, and Metaflow's datastore where it is installed, side by side
against `rclone serve s3` on this machine. Each measurement is a process of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks._measuring import Peak, Target, arguments, clean_environment, command, tell
from benchmarks._s3 import BUCKET, KEY, SECRET, farther_away, moto, rclone, s3_client
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.transfer import load_values, save_values
from flowyml_aws.artifacts.values import load_value, save_value
from flowyml_aws.aws.s3 import S3ArtifactStore

MIB = 1 << 20
SMALL, SMALL_BYTES = 1000, 10 * 1024
SMALL_CASES = ("one by one", "together")
SIZES_MIB = {"random": 512, "compressible": 512, "file": 2048}

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
    return generator.random(SIZES_MIB["random"] * MIB // 4, dtype=numpy.float32)


def compressible_array() -> Any:
    """512 MiB of int32 as columns have them: below 1,000."""
    import numpy

    generator = numpy.random.default_rng(0)
    return generator.integers(0, 1000, SIZES_MIB["compressible"] * MIB // 4, dtype=numpy.int32)


def make_file(folder: Path) -> Path:
    """A file of 2 GiB that nothing can compress."""
    path = folder / "file.bin"
    if not path.exists():
        with path.open("wb") as file:
            for _ in range(SIZES_MIB["file"] // 64):
                file.write(os.urandom(64 * MIB))
    return path


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


# The table.


def measure(who: str, endpoint: str, case: str, action: str, folder: Path) -> Measured:
    """One measurement in a process of its own; whoever waits is told."""
    told = command(
        *("-m", "benchmarks.artifacts", "--measure", who, endpoint, case, action, str(folder)),
        environment=clean_environment(),
        folder=Path(__file__).parents[1],
    )
    for loaded in folder.glob("loaded-*"):
        shutil.rmtree(loaded) if loaded.is_dir() else loaded.unlink()
    measured = Measured(*json.loads(told.splitlines()[-1]))
    print(f"{action} {case}, {who}: {measured.seconds:.2f} s", file=sys.stderr)
    return measured


def rounds(
    peers: Sequence[str], endpoint: str, case: str, action: str, folder: Path, repetitions: int
) -> list[dict[str, Measured]]:
    """What each peer takes, one after the other in turn. Metaflow takes long: once is enough."""
    found: list[dict[str, Measured]] = []
    for number in range(repetitions):
        turn = [who for who in peers if number == 0 or who != "metaflow"]
        turn = turn if number % 2 == 0 else turn[::-1]
        found.append({who: measure(who, endpoint, case, action, folder) for who in turn})
    return found


def ratio(found: Sequence[dict[str, Measured]], who: str, other: str) -> float:
    """Time of one beside another: the median of the rounds in which both were measured."""
    both = [each for each in found if who in each and other in each]
    return median(each[who].seconds / each[other].seconds for each in both)


def judged(case: str, action: str, found: Sequence[dict[str, Measured]]) -> Iterator[Target]:
    most = {"compressible": 1.0}.get(case, 1 / AT_LEAST_OF_BOTO3)
    yield Target(
        f"{action} {case}: time beside boto3", ratio(found, "ours", "boto3"), most, "times"
    )
    memory_mib = max(each["ours"].memory_mib for each in found)
    yield Target(f"{action} {case}: memory beside the value", memory_mib, MEMORY_MIB, "MiB")
    if "metaflow" in found[0]:
        beside = ratio(found, "ours", "metaflow")
        yield Target(f"{action} {case}: time beside Metaflow", beside, 1.0, "times")


def sent_again() -> int:
    """Requests with bytes in them when a value is stored that lies in S3 already."""
    import numpy

    with moto() as endpoint:  # rclone keeps no checksums
        client = s3_client(endpoint)
        client.create_bucket(Bucket=BUCKET)
        store = S3ArtifactStore(client, BUCKET)
        values = [numpy.arange(16 * MIB), numpy.random.default_rng(0).random(4 * MIB)]
        refs = [save_value(store, "a", value) for value in values]
        sent: list[str] = []
        client.meta.events.register(
            "before-call.s3", lambda model, **_: sent.append(str(model.name))
        )
        assert refs == [save_value(store, "a", value) for value in values]
        return sum(name != "HeadObject" for name in sent)


def main() -> int:
    options = arguments(__doc__, repetitions=5)
    has_metaflow = find_spec("metaflow") is not None
    rows: list[list[str]] = []
    targets: list[Target] = []
    numbers: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name, rclone(Path(name) / "s3") as endpoint:
        folder = Path(name)
        for case, size_mib in SIZES_MIB.items():
            peers = ["ours", "boto3"] + ["metaflow"] * (has_metaflow and case != "file")
            for action in ("save", "load"):
                found = rounds(peers, endpoint, case, action, folder, options.repetitions)
                for who in peers:
                    measured = [each[who] for each in found if who in each]
                    numbers[f"{action} {case} {who}"] = [vars(each) for each in measured]
                    seconds = median(each.seconds for each in measured)
                    rows.append(
                        [
                            f"{action} {case}, {size_mib:,} MiB",
                            who,
                            f"{seconds:.2f}",
                            f"{size_mib / seconds:.0f}",
                            f"{1 / ratio(found, who, 'boto3'):.2f}",
                            f"{max(each.memory_mib for each in measured):.0f}",
                        ]
                    )
                targets += judged(case, action, found)
        with farther_away(endpoint) as distant:
            for action in ("save", "load"):
                both = {c: measure("small", distant, c, action, folder) for c in SMALL_CASES}
                for case, each in both.items():
                    numbers[f"{action} small {case}"] = [vars(each)]
                    told = (f"{each.seconds:.2f}", "", "", f"{each.memory_mib:.0f}")
                    rows.append([f"{action} {SMALL:,} values", case, *told])
                faster = both["one by one"].seconds / both["together"].seconds
                what = f"{action} {SMALL:,} values of 10 KiB together, part of one by one"
                targets.append(Target(what, 1 / faster, 1 / TIMES_FASTER, "of the time"))
    again = sent_again()
    targets.append(Target("requests that send what lies in S3 already", again, 0, "requests"))
    notes = [] if has_metaflow else ["Metaflow is not installed: not compared"]
    columns = ["", "by", "seconds", "MiB/s", "of boto3's speed", "MiB beside the value"]
    return tell(columns, rows, targets, notes, numbers, options.json)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        who, endpoint, case, action, where = sys.argv[2:]
        print(json.dumps(list(vars(WHO[who](endpoint, case, action, Path(where))).values())))
    else:
        sys.exit(main())
