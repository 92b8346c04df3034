"""Three consecutive jobs; the first waits for a file."""

from __future__ import annotations

import time
from pathlib import Path

from flowyml_aws import Pipeline, step


def note(trace: str, name: str) -> None:
    with Path(trace).open("a") as file:
        file.write(f"{name}\n")


@step(outputs=["a"], execution_group="first")
def begin(trace: str) -> int:
    note(trace, "begin")
    return 20


@step(inputs=["a"], outputs=["b"], execution_group="first")
def wait(a: int, trace: str) -> int:
    print("waiting")  # before the trace: tests lose the host as soon as they see that
    note(trace, "wait")
    while not Path(f"{trace}.go").exists():
        time.sleep(0.01)
    return a + 1


@step(inputs=["b"], outputs=["c"], execution_group="second")
def double(b: int, trace: str) -> int:
    note(trace, "double")
    return b * 2


@step(inputs=["c"], outputs=["d"])
def summarize(c: int, trace: str) -> str:
    note(trace, "summarize")
    return f"it is {c}"


pipeline = Pipeline("waiting", context={"trace": ""}).add_steps([begin, wait, double, summarize])
