"""A value that two jobs read, and a job between them that waits until a file exists."""

from __future__ import annotations

import time
from pathlib import Path

from flowyml_aws import Pipeline, step


def note(trace: str, name: str) -> None:
    with Path(trace).open("a") as file:
        file.write(f"{name}\n")


@step(outputs=["raw"])
def load(trace: str) -> list[int]:
    note(trace, "load")
    return [3, 1, 2]


@step(inputs=["raw"], outputs=["total"], cache=False)
def wait(raw: list[int], trace: str) -> int:
    note(trace, "wait")
    while not Path(f"{trace}.go").exists():
        time.sleep(0.01)
    return sum(raw) + 2


@step(inputs=["total", "raw"], outputs=["score"], cache=False)
def score(total: int, raw: list[int], trace: str) -> int:
    note(trace, "score")
    return total * len(raw)


pipeline = Pipeline("damaging", context={"trace": ""})
pipeline.add_steps([load, wait, score])

uncached = Pipeline("uncached", context={"trace": ""})
uncached.add_steps([step(name="load", outputs=["raw"], cache=False)(load.func), wait, score])
