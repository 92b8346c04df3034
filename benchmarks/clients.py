"""Comparison of S3 clients for large values, the basis of ADR 47.

Compares our own calls for parts with boto3's transfer manager, and with obstore, awscrt and s5cmd
if they are installed, with `rclone serve s3` on this machine. The floor is SHA-256 and a bare
socket. Each measurement runs in a separate process.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from benchmarks._clients import CLIENTS, MIB, SIZE_MIB, missing, new_memory
from benchmarks._floor import floor, memcpy_gib_s, sha256_gib_s
from benchmarks._measuring import Peak, Target, arguments, clean_environment, command, report
from benchmarks._results import row
from benchmarks._s3 import rclone

FLOOR, OWN = "floor", "own calls"
GIB_PER_VALUE = SIZE_MIB / 1024
SAVE_CPU_S, LOAD_OF_FLOOR, OF_BEST = 1.1, 1.4, 1.1  # targets

Rounds = Mapping[str, Sequence[Sequence[float]]]


def make_data() -> bytes:
    generator = random.Random(0)
    return b"".join(generator.randbytes(MIB) for _ in range(SIZE_MIB))


def measure(client: str, endpoint: str, action: str) -> tuple[float, float, float]:
    """Return seconds, processor seconds with those of children, and MiB without the value."""
    data = make_data()
    save, load = (floor if client == FLOOR else CLIENTS[client])(endpoint)
    touch_memory()
    peak, cpu_s, started = Peak(), _cpu_s(), time.monotonic()
    loaded = load() if action == "load" else save(data)
    seconds, cpu_s = time.monotonic() - started, _cpu_s() - cpu_s
    memory_mib = peak.mib()
    if action == "load":
        assert loaded == data
        memory_mib -= SIZE_MIB
    return seconds, cpu_s, memory_mib


def touch_memory() -> None:
    """Let a virtual machine get the memory from its host, which would count for one client only."""
    new_memory(2 * SIZE_MIB)[::4096] = bytes(2 * SIZE_MIB * MIB // 4096)


def _cpu_s() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def targets(rounds: Rounds) -> list[Target]:
    """Return the targets of our own calls, by the numbers of all rounds."""
    save_s = _median(rounds, f"save {OWN}", 1) / GIB_PER_VALUE
    load_ratio = _ratio(rounds, f"load {OWN}", f"load {FLOOR}", 1)
    found = [
        Target("processor time to save a GiB", save_s, SAVE_CPU_S, "s"),
        Target("processor time to load", load_ratio, LOAD_OF_FLOOR, "× the floor"),
    ]
    for action in ("save", "load"):
        peers = [name for name in rounds if name.startswith(action) and FLOOR not in name]
        peers.remove(f"{action} {OWN}")
        best = min(peers, key=lambda name: _median(rounds, name, 0))
        ratio = _ratio(rounds, f"{action} {OWN}", best, 0)
        found.append(Target(f"time to {action}", ratio, OF_BEST, f"× {best.partition(' ')[2]}"))
    return found


def _median(rounds: Rounds, name: str, column: int) -> float:
    return median(each[column] for each in rounds[name])


def _ratio(rounds: Rounds, name: str, other: str, column: int) -> float:
    """Return the median of the ratios within each round."""
    pairs = zip(rounds[name], rounds[other], strict=True)
    return median(each[column] / peer[column] for each, peer in pairs)


def main() -> int:
    options = arguments(__doc__, repetitions=9)
    absent = missing()
    clients = [FLOOR, *(name for name in CLIENTS if name.partition(",")[0] not in absent)]
    rounds: dict[str, list[Sequence[float]]] = {
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
                    rounds[f"{action} {client}"].append(json.loads(output.splitlines()[-1]))
    rows = []
    for name in rounds:
        action = name.partition(" ")[0]
        cells = (
            f"{_median(rounds, name, 1) / GIB_PER_VALUE:.2f}",
            f"{_ratio(rounds, name, f'{action} {FLOOR}', 1):.2f}",
            f"{_median(rounds, name, 0) / GIB_PER_VALUE:.2f}",
            f"{_ratio(rounds, name, f'{action} {OWN}', 0):.2f}",
            f"{max(each[2] for each in rounds[name]):.0f}",
        )
        rows.append((name, *cells))
    columns = ["", "CPU-s/GiB", "× floor", "s/GiB", "× own", "MiB without the value"]
    rates = {"SHA-256": sha256_gib_s(), "memcpy": memcpy_gib_s()}
    notes = [f"{name} per core: {rate:.2f} GiB/s" for name, rate in rates.items()]
    notes += [f"{name} is not installed: not compared" for name in absent]
    numbers = {"rounds": rounds, "GiB/s per core": rates}
    measured = []
    for name in rounds:
        action = name.partition(" ")[0]
        times_s = [each[0] / GIB_PER_VALUE for each in rounds[name]]
        cpu_s = [each[1] / GIB_PER_VALUE for each in rounds[name]]
        floor_s = [each[1] / GIB_PER_VALUE for each in rounds[f"{action} {FLOOR}"]]
        own_s = [each[0] / GIB_PER_VALUE for each in rounds[f"{action} {OWN}"]]
        measured.append(row(f"{name}, processor time per GiB", "s", cpu_s, {FLOOR: floor_s}))
        measured.append(row(f"{name}, time per GiB", "s", times_s, {OWN: own_s}))
    return report(columns, rows, targets(rounds), notes, numbers, options.json, measured)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(*sys.argv[2:])))
    else:
        sys.exit(main())
