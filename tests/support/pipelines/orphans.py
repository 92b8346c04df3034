"""A step that starts a process which ignores SIGTERM."""

from __future__ import annotations

import subprocess
import sys

from flowyml_aws import Pipeline, step

STUBBORN = """
import signal, sys, time
from pathlib import Path
signal.signal(signal.SIGTERM, signal.SIG_IGN)
Path(sys.argv[1]).write_text("stubborn\\n")
time.sleep(600)
"""


@step
def begin(trace: str) -> None:
    subprocess.run([sys.executable, "-c", STUBBORN, trace], check=True)


pipeline = Pipeline("orphans", context={"trace": ""}).add_step(begin)
