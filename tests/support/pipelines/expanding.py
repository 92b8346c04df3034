"""Dynamic steps: a search with a map, a join and a dynamic step of its own, and what reads it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from flowyml_aws import GPUConfig, Pipeline, ResourceRequirements, dynamic, step


def note(trace: str, name: str) -> None:
    with Path(trace).open("a") as file:
        file.write(f"{name}\n")


@step(outputs=["rates"], cache=False, timeout=60)
def configure(trace: str) -> list[int]:
    note(trace, "configure")
    return [1, 2, 3]


@step(outputs=["score"], timeout=60)
def train(rates: int, offset: int, trace: str) -> int:
    note(trace, "train")
    if Path(f"{trace}.broken").exists():
        raise RuntimeError("no memory for the model")
    return rates + offset


@step(inputs=["score"], outputs=["best"], cache=False, timeout=60)
def join(score: list[int], trace: str) -> int:
    note(trace, "join")
    while Path(f"{trace}.hold").exists():
        time.sleep(0.01)
    return max(score)


@dynamic(inputs=["best"], outputs=["model"], timeout=60)
def refine(best: int, trace: str) -> Pipeline:
    note(trace, "refine")
    return Pipeline("polish", {"best": best}).add_step(again)


@step(outputs=["model"], cache=False, timeout=60)
def again(best: int) -> int:
    return best * 2


@dynamic(inputs=["rates"], outputs=["model", "best"], timeout=60)
def search(rates: list[int], trace: str) -> Pipeline:
    note(trace, "search")
    context = {"rates": rates, "offset": 10 * len(rates), "trace": trace}
    large = ResourceRequirements(gpu=GPUConfig("A100", count=8))
    fitted = replace(train, resources=large) if Path(f"{trace}.large").exists() else train
    return Pipeline("search", context).add_steps([fitted.map(over="rates"), join, refine])


@step(inputs=["model", "best"], cache=False, timeout=60)
def report(model: int, best: int, trace: str) -> str:
    note(trace, "report")
    return f"{model} from {best}"


pipeline = Pipeline("expanding", {"trace": ""}).add_steps([configure, search, report])
