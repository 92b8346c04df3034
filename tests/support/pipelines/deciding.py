"""A decision, a job or a map after it, jobs after those, and a job after both branches."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from flowyml_aws import Pipeline, step
from flowyml_aws.core.branches import Branch


def note(trace: str, name: str) -> None:
    with Path(trace).open("a") as file:
        file.write(f"{name}\n")


@step(outputs=["score"], execution_group="g", cache=False)
def evaluate(accuracy: float, trace: str) -> float:
    note(trace, "evaluate")
    while not Path(f"{trace}.go").exists():
        time.sleep(0.01)
    return accuracy


@step(inputs=["score"], execution_group="g", cache=False)
def decide(score: float) -> str:
    return "then" if score > 0.5 else "else"


@step(inputs=["score"], cache=False)
def deploy(score: float, trace: str) -> str:
    note(trace, "deploy")
    return f"deployed {score}"


@step(inputs=["deploy"], cache=False)
def check(deploy: str, trace: str) -> str:
    note(trace, "check")
    if not Path(f"{trace}.healthy").exists():
        raise RuntimeError("not healthy")
    return f"{deploy} and checked"


@step(outputs=["model"], cache=False)
def retrain(row: int, trace: str) -> int:
    note(trace, "retrain")
    return row * row


@step(inputs=["check", "model"], cache=False)
def report(check: str = "", model: list[int] | None = None) -> str:
    return check or f"models {model}"


pipeline = Pipeline("deciding", context={"trace": "", "accuracy": 0.7, "rows": [1, 2, 3]})
pipeline.add_steps(
    [
        evaluate,
        replace(decide, cases=("then", "else")),
        replace(deploy, branch=Branch("decide", "then")),
        check,
        replace(retrain.map(over="rows", items_per_job=1), branch=Branch("decide", "else")),
        report,
    ]
)
