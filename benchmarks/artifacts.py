"""Time and memory for values that are saved to S3 and loaded again.

Compares this package, boto3 streaming the same buffer, and Metaflow's datastore if it is installed,
with `rclone serve s3` on this machine. Each measurement runs in a separate process.
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

from benchmarks._measuring import Peak, Target, arguments, clean_environment, command, report
from benchmarks._results import Row, row
from benchmarks._s3 import BUCKET, KEY, SECRET, add_latency, moto, rclone, s3_client
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.transfer import load_values, save_values
from flowyml_aws.artifacts.values import load_value, save_value
from flowyml_aws.aws.s3.store import S3ArtifactStore

MIB = 1 << 20
SMALL, SMALL_BYTES = 1000, 10 * 1024
SMALL_CASES = ("one by one", "together")
SIZES_MIB = {"random": 512, "compressible": 512, "file": 2048}

MIN_SPEED_OF_BOTO3 = 0.85  # of its throughput, for incompressible values
MEMORY_MIB = 128
MIN_SPEEDUP = 8.0  # of many small values together, compared with one by one


@dataclass(frozen=True)
class Measured:
    """Seconds, and the peak of memory in addition to the value, in MiB."""

    seconds: float
    memory_mib: float


# The measured processes.


def random_array() -> Any:
    """Return 512 MiB of incompressible float32."""
    import numpy

    generator = numpy.random.default_rng(0)
    return generator.random(SIZES_MIB["random"] * MIB // 4, dtype=numpy.float32)


def compressible_array() -> Any:
    """Return 512 MiB of int32 below 1,000, as in typical columns."""
    import numpy

    generator = numpy.random.default_rng(0)
    return generator.integers(0, 1000, SIZES_MIB["compressible"] * MIB // 4, dtype=numpy.int32)


def make_file(folder: Path) -> Path:
    """Write a file of 2 GiB of incompressible bytes."""
    path = folder / "file.bin"
    if not path.exists():
        with path.open("wb") as file:
            for _ in range(SIZES_MIB["file"] // 64):
                file.write(os.urandom(64 * MIB))
    return path


class View:
    """A file object that reads from a buffer, or writes into it, without copies of the whole."""

    def __init__(self, data: Any) -> None:
        self._data, self._position = memoryview(data).cast("B"), 0

    def read(self, size: int = -1) -> bytes:
        end = len(self._data) if size < 0 else self._position + size
        part = bytes(self._data[self._position : end])
        self._position += len(part)
        return part

    def write(self, part: Any) -> int:
        self._data[self._position : self._position + len(part)] = part
        self._position += len(part)
        return len(part)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = offset + (0, self._position, len(self._data))[whence]
        return self._position

    def tell(self) -> int:
        return self._position


def with_flowyml_aws(endpoint: str, case: str, action: str, folder: Path) -> Measured:
    """Save or load a value with this package."""
    store = S3ArtifactStore(s3_client(endpoint), BUCKET, f"values-{os.urandom(4).hex()}")
    ref_file = folder / f"values-{case}.json"
    if action == "save":
        value = make_file(folder) if case == "file" else ARRAYS[case]()
        store.put("warm", b"")
        peak, started = Peak(), time.monotonic()
        ref = save_value(store, "a", value)
        measured = Measured(time.monotonic() - started, peak.mib())
        ref_file.write_text(json.dumps([store.uri, ref.model_dump(mode="json")]))
        return measured
    uri, document = json.loads(ref_file.read_text())
    store, ref = (
        S3ArtifactStore.from_uri(s3_client(endpoint), uri),
        ArtifactRef.model_validate(document),
    )
    if case != "file":
        import numpy

        numpy.frombuffer(b"1234", numpy.int32)
    store.get("warm")
    peak, started = Peak(), time.monotonic()
    loaded = load_value(store, ref, "a", folder / f"loaded-{os.getpid()}")
    measured = Measured(time.monotonic() - started, peak.mib())
    return measured if case == "file" else without_value(measured, loaded.nbytes)


def with_boto3(endpoint: str, case: str, action: str, folder: Path) -> Measured:
    """Save or load the same bytes with boto3's transfer manager, without verification.

    An array is loaded into one that exists before.
    """
    import numpy

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
    data = numpy.empty(SIZES_MIB[case] * MIB, numpy.uint8)  # its memory counts when it is written
    peak, started = Peak(), time.monotonic()
    if case == "file":
        client.download_file(BUCKET, key, str(folder / f"loaded-{os.getpid()}"))
        return Measured(time.monotonic() - started, peak.mib())
    client.download_fileobj(BUCKET, key, View(data))
    measured = Measured(time.monotonic() - started, peak.mib())
    return without_value(measured, data.nbytes)


def with_metaflow(endpoint: str, case: str, action: str, folder: Path) -> Measured:
    """Save or load a value with Metaflow's content-addressed store: pickled and gzipped."""
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
    key_file = folder / f"metaflow-{case}.json"
    if action == "save":
        value = ARRAYS[case]()
        peak, started = Peak(), time.monotonic()
        (saved,) = store.save_blobs(iter([pickle.dumps(value, protocol=4)]))
        measured = Measured(time.monotonic() - started, peak.mib())
        key_file.write_text(json.dumps(saved.key))
        return measured
    peak, started = Peak(), time.monotonic()
    for _, blob in store.load_blobs([json.loads(key_file.read_text())]):
        loaded = pickle.loads(blob)
    measured = Measured(time.monotonic() - started, peak.mib())
    return without_value(measured, loaded.nbytes)


def small(endpoint: str, case: str, action: str, folder: Path) -> Measured:
    """Save or load many small values: together, as a job does it, or one by one."""
    together = case == "together"
    store = S3ArtifactStore(s3_client(endpoint), BUCKET, f"small-{os.urandom(4).hex()}")
    refs_file = folder / f"small-{case}.json"
    if action == "save":
        values = {f"a{n}": os.urandom(SMALL_BYTES) for n in range(SMALL)}
        store.put("warm", b"")
        peak, started = Peak(), time.monotonic()
        if together:
            refs = save_values(store, values)
        else:
            refs = {asset: save_value(store, asset, value) for asset, value in values.items()}
        measured = Measured(time.monotonic() - started, peak.mib())
        documents = {asset: ref.model_dump(mode="json") for asset, ref in refs.items()}
        refs_file.write_text(json.dumps([store.uri, documents]))
        return measured
    uri, documents = json.loads(refs_file.read_text())
    store = S3ArtifactStore.from_uri(s3_client(endpoint), uri)
    refs = {asset: ArtifactRef.model_validate(ref) for asset, ref in documents.items()}
    store.get("warm")
    peak, started = Peak(), time.monotonic()
    if together:
        loaded = load_values(store, refs, folder)
    else:
        loaded = {asset: load_value(store, ref, asset, folder) for asset, ref in refs.items()}
    measured = Measured(time.monotonic() - started, peak.mib())
    return without_value(measured, sum(map(len, loaded.values())))


def without_value(measured: Measured, value_bytes: int) -> Measured:
    return Measured(measured.seconds, measured.memory_mib - value_bytes / MIB)


ARRAYS: dict[str, Callable[[], Any]] = {
    "random": random_array,
    "compressible": compressible_array,
}
PRODUCTS: dict[str, Callable[[str, str, str, Path], Measured]] = {
    "flowyml_aws": with_flowyml_aws,
    "boto3": with_boto3,
    "metaflow": with_metaflow,
    "small": small,
}


# The table.


def measure(product: str, endpoint: str, case: str, action: str, folder: Path) -> Measured:
    """Take one measurement in a separate process, and print its time as progress."""
    output = command(
        *("-m", "benchmarks.artifacts", "--measure", product, endpoint, case, action, str(folder)),
        environment=clean_environment(),
        folder=Path(__file__).parents[1],
    )
    for loaded in folder.glob("loaded-*"):
        shutil.rmtree(loaded) if loaded.is_dir() else loaded.unlink()
    measured = Measured(*json.loads(output.splitlines()[-1]))
    print(f"{action} {case}, {product}: {measured.seconds:.2f} s", file=sys.stderr)
    return measured


def rounds(
    products: Sequence[str], endpoint: str, case: str, action: str, folder: Path, repetitions: int
) -> list[dict[str, Measured]]:
    """Measure all products in turn; Metaflow only in the first round, as it is slow."""
    results: list[dict[str, Measured]] = []
    for number in range(repetitions):
        order = [product for product in products if number == 0 or product != "metaflow"]
        order = order if number % 2 == 0 else order[::-1]
        results.append({p: measure(p, endpoint, case, action, folder) for p in order})
    return results


def ratio(results: Sequence[dict[str, Measured]], product: str, other: str) -> float:
    """Return the median ratio of two products' times, over the rounds that measured both."""
    both = [each for each in results if product in each and other in each]
    return median(each[product].seconds / each[other].seconds for each in both)


def targets_of(case: str, action: str, results: Sequence[dict[str, Measured]]) -> Iterator[Target]:
    limit = {"compressible": 1.0}.get(case, 1 / MIN_SPEED_OF_BOTO3)
    to_boto3 = ratio(results, "flowyml_aws", "boto3")
    yield Target(f"{action} {case}: time relative to boto3", to_boto3, limit, "times")
    memory_mib = max(each["flowyml_aws"].memory_mib for each in results)
    yield Target(f"{action} {case}: memory without the value", memory_mib, MEMORY_MIB, "MiB")
    if "metaflow" in results[0]:
        to_metaflow = ratio(results, "flowyml_aws", "metaflow")
        yield Target(f"{action} {case}: time relative to Metaflow", to_metaflow, 1.0, "times")


def rows_of(case: str, action: str, results: Sequence[dict[str, Measured]]) -> Iterator[Row]:
    """Yield the times of all products, and the memory of this package."""
    size_mib = SIZES_MIB[case]
    name = f"{action} {case}, {size_mib:,} MiB"
    seconds = {
        product: [each[product].seconds for each in results if product in each]
        for product in results[0]
    }
    own = seconds.pop("flowyml_aws")
    yield row(name, "s", own, seconds)
    for product, others in seconds.items():
        yield row(f"{name}, {product}", "s", others)
    memory_mib = [each["flowyml_aws"].memory_mib for each in results]
    if case == "file":
        yield row(f"{name}: memory", "MiB", memory_mib, {"the limit": MEMORY_MIB})
    else:
        with_value = [size_mib + each for each in memory_mib]
        yield row(f"{name}: memory with the value", "MiB", with_value, {"the value": size_mib})


def repeated_uploads() -> int:
    """Return the number of requests, apart from HEAD, when stored values are saved again."""
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
    table: list[Row] = []
    with tempfile.TemporaryDirectory() as path, rclone(Path(path) / "s3") as endpoint:
        folder = Path(path)
        for case, size_mib in SIZES_MIB.items():
            products = ["flowyml_aws", "boto3"]
            products += ["metaflow"] * (has_metaflow and case != "file")
            for action in ("save", "load"):
                results = rounds(products, endpoint, case, action, folder, options.repetitions)
                for product in products:
                    measured = [each[product] for each in results if product in each]
                    numbers[f"{action} {case} {product}"] = [vars(each) for each in measured]
                    seconds = median(each.seconds for each in measured)
                    rows.append(
                        [
                            f"{action} {case}, {size_mib:,} MiB",
                            product,
                            f"{seconds:.2f}",
                            f"{size_mib / seconds:.0f}",
                            f"{1 / ratio(results, product, 'boto3'):.2f}",
                            f"{max(each.memory_mib for each in measured):.0f}",
                        ]
                    )
                targets += targets_of(case, action, results)
                table += rows_of(case, action, results)
        with add_latency(endpoint) as distant:
            for action in ("save", "load"):
                both = {c: measure("small", distant, c, action, folder) for c in SMALL_CASES}
                for case, each in both.items():
                    numbers[f"{action} small {case}"] = [vars(each)]
                    cells = (f"{each.seconds:.2f}", "", "", f"{each.memory_mib:.0f}")
                    rows.append([f"{action} {SMALL:,} values", case, *cells])
                one_by_one = {"one by one": both["one by one"].seconds}
                name = f"{action} {SMALL:,} values of 10 KiB together"
                table.append(row(name, "s", [both["together"].seconds], one_by_one))
                speedup = both["one by one"].seconds / both["together"].seconds
                what = f"{action} {SMALL:,} values of 10 KiB together, compared with one by one"
                targets.append(Target(what, 1 / speedup, 1 / MIN_SPEEDUP, "of the time"))
    uploads = repeated_uploads()
    targets.append(Target("uploads of values that S3 already has", uploads, 0, "requests"))
    notes = [] if has_metaflow else ["Metaflow is not installed: not compared"]
    columns = ["", "by", "seconds", "MiB/s", "of boto3's speed", "MiB without the value"]
    return report(columns, rows, targets, notes, numbers, options.json, table)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        product, endpoint, case, action, path = sys.argv[2:]
        print(
            json.dumps(list(vars(PRODUCTS[product](endpoint, case, action, Path(path))).values()))
        )
    else:
        sys.exit(main())
