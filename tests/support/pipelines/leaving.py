"""A job whose process does not exit after its commit, because of a thread, and a job after it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from flowyml_aws import Pipeline, step


def note(trace: str, name: str) -> None:
    with Path(trace).open("a") as file:
        file.write(f"{name}\n")


def linger(trace: str) -> None:
    while not Path(f"{trace}.go").exists():
        time.sleep(0.01)


@step(outputs=["a"], execution_group="first")
def leave(trace: str) -> int:
    note(trace, "leave")
    threading.Thread(target=linger, args=(trace,)).start()
    return 1


@step(inputs=["a"], outputs=["b"])
def follow(a: int, trace: str) -> int:
    note(trace, "follow")
    return a + 1


pipeline = Pipeline("leaving", context={"trace": ""}).add_steps([leave, follow])
