"""A group whose second step needs more than its machine has, and a job after it."""

from __future__ import annotations

import errno
import time
from pathlib import Path

from flowyml_aws import Pipeline, step


def note(trace: str, name: str) -> int:
    """Append a line to the trace, and return how often it is there."""
    with Path(trace).open("a") as file:
        file.write(f"{name}\n")
    return Path(trace).read_text("utf-8").splitlines().count(name)


@step(outputs=["a"], execution_group="work")
def prepare(trace: str) -> int:
    note(trace, "prepare")
    return 20


@step(inputs=["a"], outputs=["b"], execution_group="work")
def grow(a: int, trace: str, how: str, times: int) -> int:
    if note(trace, "grow") > times:
        return a + 1
    if how == "disk":
        raise OSError(errno.ENOSPC, "No space left on device")
    if how == "wait":
        while not Path(f"{trace}.go").exists():
            time.sleep(0.01)
        return a + 1
    raise MemoryError("too large")


@step(inputs=["b"], outputs=["c"])
def finish(b: int, trace: str) -> int:
    note(trace, "finish")
    return b * 2


pipeline = Pipeline("moving", context={"trace": "", "how": "memory", "times": 1})
pipeline.add_steps([prepare, grow, finish])
