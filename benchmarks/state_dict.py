"""Time and memory for a large state dict of PyTorch that is saved to S3 and loaded again.

Compares this package with `torch.save` to a file that boto3 uploads, and with `rclone serve s3` on
this machine. Each measurement runs in a separate process. Without PyTorch, nothing is measured.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks._measuring import Peak, Target, argument_parser, clean_environment, command, report
from benchmarks._results import row
from benchmarks._s3 import BUCKET, rclone, s3_client

MIB = 1 << 20
SIZE_MIB, TENSOR_MIB = 4096, 64
MEMORY_MIB = 128
OWN, PEER = "flowyml_aws", "torch.save and boto3"


# The measured processes.


def make_state(size_mib: int) -> dict[str, Any]:
    """Return incompressible float32 tensors of 64 MiB."""
    import torch

    torch.manual_seed(0)
    count = size_mib // TENSOR_MIB
    return {f"layers.{n}.weight": torch.rand(TENSOR_MIB * MIB // 4) for n in range(count)}


def with_flowyml_aws(endpoint: str, action: str, size_mib: int, folder: Path) -> tuple[float, Peak]:
    from flowyml_aws.artifacts.refs import ArtifactRef
    from flowyml_aws.artifacts.values import load_value, save_value
    from flowyml_aws.aws.s3.store import S3ArtifactStore

    ref_file = folder / "ref.json"
    if action == "save":
        state = make_state(size_mib)
        store = S3ArtifactStore(s3_client(endpoint), BUCKET, f"values-{os.urandom(4).hex()}")
        store.put("warm", b"")
        peak, started = Peak(), time.monotonic()
        ref = save_value(store, "state", state)
        seconds = time.monotonic() - started
        assert ref.codec.startswith("torch/"), ref.codec
        ref_file.write_text(json.dumps([store.uri, ref.model_dump(mode="json")]))
        return seconds, peak
    import torch

    torch.zeros(1)
    uri, document = json.loads(ref_file.read_text())
    store = S3ArtifactStore.from_uri(s3_client(endpoint), uri)
    store.get("warm")
    peak, started = Peak(), time.monotonic()
    loaded = load_value(store, ArtifactRef.model_validate(document), "state", folder)
    seconds = time.monotonic() - started
    assert len(loaded) == size_mib // TENSOR_MIB
    return seconds, peak


def with_torch(endpoint: str, action: str, size_mib: int, folder: Path) -> tuple[float, Peak]:
    import torch

    client, file = s3_client(endpoint), folder / "state.pt"
    client.list_objects_v2(Bucket=BUCKET, MaxKeys=1)
    if action == "save":
        state = make_state(size_mib)
        peak, started = Peak(), time.monotonic()
        torch.save(state, file)
        client.upload_file(str(file), BUCKET, "state.pt")
        return time.monotonic() - started, peak
    torch.zeros(1)
    peak, started = Peak(), time.monotonic()
    client.download_file(BUCKET, "state.pt", str(file))
    loaded = torch.load(file, weights_only=True)
    seconds = time.monotonic() - started
    assert len(loaded) == size_mib // TENSOR_MIB
    return seconds, peak


PRODUCTS = {OWN: with_flowyml_aws, PEER: with_torch}


def measure(
    product: str, endpoint: str, action: str, size_mib: int, folder: Path
) -> tuple[float, float]:
    """Return the seconds, and the peak of memory in addition to the value in MiB."""
    seconds, peak = PRODUCTS[product](endpoint, action, size_mib, folder)
    return seconds, peak.mib() - (size_mib if action == "load" else 0)


# The table.


def in_process(
    product: str, endpoint: str, action: str, size_mib: int, folder: Path
) -> tuple[float, float]:
    """Take one measurement in a separate process, and print its time as progress."""
    output = command(
        *("-m", "benchmarks.state_dict", "--measure"),
        *(product, endpoint, action, str(size_mib), str(folder)),
        environment=clean_environment(),
        folder=Path(__file__).parents[1],
    )
    seconds, memory_mib = json.loads(output.splitlines()[-1])
    print(f"{action}, {product}: {seconds:.2f} s", file=sys.stderr)
    (folder / "state.pt").unlink(missing_ok=True)
    return seconds, memory_mib


def main() -> int:
    parser = argument_parser(__doc__, repetitions=3)
    size_help = f"of the state dict, a multiple of {TENSOR_MIB}"
    parser.add_argument("--size", type=int, default=SIZE_MIB, metavar="MIB", help=size_help)
    options = parser.parse_args()
    if options.size <= 0 or options.size % TENSOR_MIB:
        parser.error(f"argument --size: expected a multiple of {TENSOR_MIB}, got {options.size}")
    columns = ("", "by", "seconds", "MiB/s", "MiB without the value")
    if find_spec("torch") is None:
        note = "PyTorch is not installed: nothing was measured"
        return report(columns, [], [], [note], file=options.json)
    rows, targets, numbers, measured = [], [], {}, []
    with tempfile.TemporaryDirectory() as path, rclone(Path(path) / "s3") as endpoint:
        folder = Path(path)
        results: dict[str, dict[str, list[tuple[float, float]]]] = {
            action: {product: [] for product in PRODUCTS} for action in ("save", "load")
        }
        for number in range(options.repetitions):
            for product in list(PRODUCTS)[:: 1 if number % 2 == 0 else -1]:
                for action, by_product in results.items():
                    found = in_process(product, endpoint, action, options.size, folder)
                    by_product[product].append(found)
            _delete_all(endpoint)
    for action, by_product in results.items():
        name = f"{action} {options.size:,} MiB"
        seconds = {product: [each[0] for each in found] for product, found in by_product.items()}
        memory_mib = {product: [each[1] for each in found] for product, found in by_product.items()}
        for product in PRODUCTS:
            taken_s = median(seconds[product])
            cells = f"{taken_s:.2f}", f"{options.size / taken_s:.0f}"
            rows.append((name, product, *cells, f"{max(memory_mib[product]):.0f}"))
            peers = {PEER: seconds[PEER]} if product == OWN else {}
            measured.append(row(f"{name}, {product}", "s", seconds[product], peers))
            with_value = [options.size + each for each in memory_mib[product]]
            what = f"{name}, {product}: memory with the value"
            size = {"the value": options.size} if product == OWN else {}
            measured.append(row(what, "MiB", with_value, size))
        what = f"{name}: memory without the value"
        targets.append(Target(what, max(memory_mib[OWN]), MEMORY_MIB, "MiB"))
        numbers[name] = by_product
    return report(columns, rows, targets, [], numbers, options.json, measured)


def _delete_all(endpoint: str) -> None:
    client = s3_client(endpoint)  # otherwise each round needs the space of three state dicts more
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for entry in page.get("Contents", ()):
            client.delete_object(Bucket=BUCKET, Key=entry["Key"])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        product, endpoint, action, size, path = sys.argv[2:]
        print(json.dumps(measure(product, endpoint, action, int(size), Path(path))))
    else:
        sys.exit(main())
