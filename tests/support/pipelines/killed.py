"""A step whose process is killed, as when memory runs out."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from flowyml_aws import Pipeline, step


@step
def devour(trace: str) -> None:
    with Path(trace).open("a") as file:
        file.write("devour\n")
    os.kill(os.getpid(), signal.SIGKILL)


pipeline = Pipeline("killed", context={"trace": ""}).add_step(devour)
