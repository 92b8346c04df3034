"""A job with a GPU that it does not use, in a process that the runner ends.

Usage: `python -m tests.runtime.idle_gpu_program FOLDER`. The meter and the clock are those of the
test: time passes when the step measures.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from flowyml_aws import GPUConfig, ResourceRequirements, step
from tests.runtime.harness import WrittenRun
from tests.runtime.test_sampler import Machine

GPU = ResourceRequirements(gpu=GPUConfig("nvidia-t4", count=1))


def main(folder: Path) -> None:
    machine = Machine()
    machine.passes(time.time() - machine.time())

    @step(outputs=["model"], resources=GPU, stop_idle_gpu="30m", retry=3)
    def train() -> int:
        sampler.prepare()
        machine.gpu(percent=0.0, memory_mib=100.0)
        for _ in range(70):
            machine.passes(30.0)
            sampler.sample()
        threading.Event().wait()  # until the runner ends the process
        return 1

    runner = WrittenRun(folder, train).runner()
    sampler = runner.attempt.sampler
    sampler.begin(machine)
    runner.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
