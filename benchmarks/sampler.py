"""Cost of the sampler: its processor time in a job, and the size of its document.

A job that waits is run with the sampler and without it; the difference in processor time is the
sampler's. It is measured for a job without children, for one with children, and for one that fills
its container, if this machine shows control groups. The document is that of a simulated job.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from random import Random

from benchmarks._measuring import Target, argument_parser, clean_environment, report
from benchmarks._results import row
from flowyml_aws.runtime.meters.container import ContainerMeter
from flowyml_aws.runtime.meters.machine import MachineMeter
from flowyml_aws.runtime.meters.processes import ProcessMeter
from flowyml_aws.runtime.meters.reading import GpuReading, ProcessReading, Reading
from flowyml_aws.runtime.sampler import Sampler
from flowyml_aws.runtime.usage import PhaseKind
from flowyml_aws.runtime.usage_size import within_limit

MAX_PERCENT = 0.5  # of one core
MAX_KIB = 200.0
CHILDREN = 16
DAY_S = 24 * 3600

# Arguments: kind of meter, number of children, seconds, folder of the store.
JOB = """\
import resource, subprocess, sys, time
from pathlib import Path

from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.runtime.meters.container import ContainerMeter
from flowyml_aws.runtime.meters.machine import MachineMeter
from flowyml_aws.runtime.meters.processes import ProcessMeter
from flowyml_aws.runtime.sampler import Sampler

kind, children, seconds, folder = sys.argv[1:]
store = DirectoryArtifactStore(Path(folder))
waiting = [
    subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({seconds} + 60)"])
    for _ in range(int(children))
]
time.sleep(2)
sampler = Sampler(1)
began = time.process_time()
if kind != "none":
    meter = ContainerMeter.find() if kind == "container" else ProcessMeter()
    sampler.start(store, "usage.json", MachineMeter(meter))
time.sleep(float(seconds))
sampler.close()
print(time.process_time() - began)
for child in waiting:
    child.kill()
    child.wait()
"""


def percents(jobs: Mapping[str, tuple[str, int]], seconds: float, folder: Path) -> dict[str, float]:
    """Return the processor time of each job as a percentage of one core. All run at once."""
    environment = clean_environment()
    processes = {
        name: subprocess.Popen(
            [sys.executable, "-c", JOB, kind, str(children), str(seconds), str(folder / name)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name, (kind, children) in jobs.items()
    }
    outputs = {name: process.communicate()[0] for name, process in processes.items()}
    if failed := [name for name, process in processes.items() if process.returncode]:
        sys.exit(f"these jobs failed: {', '.join(failed)}")
    return {name: 100 * float(output) / seconds for name, output in outputs.items()}


class SimulatedMachine(MachineMeter):
    """A machine whose values change with each measurement, and whose clock is simulated."""

    def __init__(self, gpus: int) -> None:
        super().__init__(ProcessMeter(), lambda: None)
        self.now = 1764496236.0
        self._gpus_count = gpus
        self._random = Random(0)
        self._cpu_s = self._mib = 0.0

    def glance(self) -> Reading:
        return self.read()

    def read(self) -> Reading:
        random = self._random.random
        self._cpu_s += 96 * random()
        self._mib += 1000 * random()
        totals = self._mib, self._mib / 2
        process = ProcessReading(self._cpu_s, 0.0, 1e6 * random(), disk_mib=totals)
        gpus = tuple(GpuReading(100 * random(), 1e5 * random()) for _ in range(self._gpus_count))
        return Reading(self.now, process, totals, gpus)


def kib(seconds: int, steps: int, gpus: int) -> float:
    """Return the size of the document of a job, in KiB."""
    machine = SimulatedMachine(gpus)
    sampler = Sampler(1, lambda: machine.now)
    sampler.begin(machine)
    sampler.prepare()
    for number in range(steps):
        for kind in (PhaseKind.INPUTS, PhaseKind.STEP, PhaseKind.OUTPUTS):
            with sampler.phase(kind, f"step_number_{number}"):
                for _ in range(seconds // steps // 3):
                    machine.now += 1
                    sampler.sample()
    return len(within_limit(sampler.document())[1]) / 1024


def main() -> int:
    parser: argparse.ArgumentParser = argument_parser(__doc__, repetitions=3)
    parser.add_argument("--seconds", type=float, default=60.0, help="duration of each job")
    options = parser.parse_args()
    jobs = {
        "without the sampler": ("none", 0),
        "process": ("processes", 0),
        f"process with {CHILDREN} children": ("processes", CHILDREN),
    }
    notes = [
        f"of {options.repetitions} jobs of {options.seconds:g} s; the targets compare medians of "
        "the difference to the job without the sampler",
    ]
    if ContainerMeter.find() is not None:
        jobs["container"] = ("container", 0)
    else:
        notes.append("this machine shows no control groups: no container was measured")
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.repetitions):
            runs.append(percents(jobs, options.seconds, Path(folder, str(number))))
    base = "without the sampler"
    medians = {name: sorted(run[name] for run in runs)[len(runs) // 2] for name in jobs}
    added = {
        name: sorted(run[name] - run[base] for run in runs)[len(runs) // 2]
        for name in jobs
        if name != base
    }
    rows = [
        (name, f"{medians[name]:.3f}", f"{added[name]:.3f}" if name in added else "")
        for name in jobs
    ]
    targets = [
        Target(f"sampler of a {name}", percent, MAX_PERCENT, "% of one core")
        for name, percent in added.items()
    ]
    sizes = {
        "a minute, 3 steps": kib(60, 3, 0),
        "a day, 3 steps": kib(DAY_S, 3, 0),
        "a day, 500 steps, 8 GPUs": kib(DAY_S, 500, 8),
    }
    targets += [Target(f"document of {name}", size, MAX_KIB, "KiB") for name, size in sizes.items()]
    measured = [
        row(f"{name}: processor time", "% of one core", [run[name] for run in runs])
        for name in jobs
    ]
    measured += [
        row(f"document of {name}", "KiB", [size], {"the limit": MAX_KIB})
        for name, size in sizes.items()
    ]
    numbers = {"percent": medians, "added_percent": added, "document_kib": sizes}
    columns = ("job", "processor time, % of one core", "added by the sampler")
    return report(columns, rows, targets, notes, numbers, options.json, measured)


if __name__ == "__main__":
    sys.exit(main())
