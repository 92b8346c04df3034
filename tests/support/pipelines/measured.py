"""Steps with and without use of the processor and of memory, also in a child process."""

from __future__ import annotations

import subprocess
import sys
import time

from flowyml_aws import Pipeline, step

BURN = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"


@step(outputs=["size"])
def burn():
    block = bytearray(b"x") * (300 * 2**20)
    subprocess.run([sys.executable, "-c", BURN], check=True)
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass
    return len(block)


@step(inputs=["size"])
def rest(size):
    time.sleep(0.05)


pipeline = Pipeline("measured").add_steps([burn, rest])
