"""Cost of giving each reader of a value its own copy, in the process of a job.

A value of 256 MiB is passed to one reader, to two, and to one with a retry. The reference is one
pass over the same value in the same process: the sum of an array.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from benchmarks._measuring import Target, arguments, cpu_seconds, interleaved, report
from benchmarks._results import row
from flowyml_aws.runtime.copies import MAX_COPIED_BYTES
from flowyml_aws.runtime.job_values import Call, JobValues

MIB = 1024 * 1024
SIZE_BYTES = 256 * MIB
MAX_READS = 2.5

READERS: dict[str, Sequence[Call]] = {
    "chain": [Call("step 'a'", ("value",))],
    "two readers": [Call("step 'a'", ("value",)), Call("step 'b'", ("value",))],
    "a retry": [Call("step 'a'", ("value",), repeats=True)],
}
VALUES: dict[str, Callable[[], object]] = {
    "array": lambda: np.ones(SIZE_BYTES // 8),
    "frame": lambda: pd.DataFrame(np.ones((SIZE_BYTES // 80, 10))),
    "arrays in a list": lambda: [np.ones(SIZE_BYTES // 80) for _ in range(10)],
}


def passing(make: Callable[[], object], readers: Sequence[Call]) -> Callable[[], float]:
    """Return a measurement of handing a new value to each reader, in seconds."""

    def measure() -> float:
        produced = {"value": make()}
        values = JobValues("asset", readers)

        def hand_on() -> None:
            values.add(produced)
            for call in readers:
                for last_attempt in (False, True) if call.repeats else (True,):
                    values.lend(call, last_attempt)

        return cpu_seconds(hand_on)

    return measure


def reading() -> Callable[[], float]:
    array = np.ones(SIZE_BYTES // 8)
    return lambda: cpu_seconds(array.sum)


def main() -> int:
    options = arguments(__doc__, repetitions=5)
    measures = {"reading": reading()} | {
        f"{value}, {name}": passing(make, readers)
        for value, make in VALUES.items()
        for name, readers in READERS.items()
    }
    copied = np.ones(MAX_COPIED_BYTES // 8)
    measures |= {
        "reading the largest copied array": lambda: cpu_seconds(copied.sum),
        "copying it": passing(copied.copy, READERS["two readers"]),
    }
    times = interleaved(measures, options.repetitions)
    copy_s, small_s = times.pop("copying it"), times.pop("reading the largest copied array")
    reading_s = times.pop("reading")
    read_s = reading_s.min_s
    measured = [
        row(f"{name}, 256 MiB", "s", result.all_s, {"reading": reading_s.all_s})
        for name, result in times.items()
    ]
    ratios = {name: result.min_s / read_s for name, result in times.items()}
    rows = [(name, f"{times[name].min_s * 1000:.2f}", f"{r:.2f}") for name, r in ratios.items()]
    targets = [Target(name, ratio, MAX_READS, "× reading") for name, ratio in ratios.items()]
    notes = [
        f"reading {SIZE_BYTES // MIB} MiB once takes {read_s * 1000:.1f} ms",
        f"arrays of up to {MAX_COPIED_BYTES // MIB} MiB are copied, which has no target: "
        f"{copy_s.min_s * 1000:.1f} ms, {copy_s.min_s / small_s.min_s:.1f} × reading",
    ]
    columns = ("value, readers", "ms", "× reading")
    return report(columns, rows, targets, notes, ratios, options.json, measured)


if __name__ == "__main__":
    sys.exit(main())
