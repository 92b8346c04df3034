"""Steps in a module, which each job imports by name."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from flowyml import MapTaskResult, map_task, step
from flowyml.core.resources import ResourceRequirements

from churn.features import rate


def trace(name: str) -> None:
    if path := os.environ.get("CHURN_TRACE"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{name}\n")


@step(outputs=["rows"], execution_group="data", resources={"cpu": 1, "memory": "512Mi"})
def load(size: int) -> list[dict[str, int]]:
    trace("load")
    return [{"customer": number, "left": int(number % 4 == 0)} for number in range(size)]


@map_task(inputs=["rows"], outputs=["valid"], execution_group="data", concurrency=2)
def validate(row: dict[str, int]) -> bool:
    return row["left"] in (0, 1)


@step(
    inputs=["rows"],
    outputs=["train", "test"],
    execution_group="data",
    resources=ResourceRequirements(cpu="500m", memory="256Mi"),
)
def split(rows: list[dict[str, int]]):
    trace("split")
    half = len(rows) // 2
    return rows[:half], rows[half:]


@step(inputs=["train"], outputs=["model"], retry=1, timeout=120, tags={"team": "growth"})
def fit(train: list[dict[str, int]], smoothing: float) -> dict[str, float]:
    trace("fit")
    return {"rate": rate(train) + smoothing}


@step(inputs=["model", "test", "valid"], outputs=["score"], cache="input_hash")
def evaluate(model: dict[str, float], test: list[dict[str, int]], valid: MapTaskResult) -> float:
    trace("evaluate")
    assert all(valid.successful_results)
    return abs(model["rate"] - rate(test))


@step(inputs=["score"], outputs=["deployed"], condition=lambda score, limit: score < limit)
def deploy(score: float) -> str:
    trace("deploy")
    return f"deployed at {score:.2f}"


@step(inputs=["deployed"], outputs=["announcement"])
def announce(deployed: str) -> str:
    trace("announce")
    return deployed.upper()


@step(outputs=["flowyml"])
def flowyml_of_the_job() -> bool:
    """Return whether the job has loaded the real FlowyML."""
    return "flowyml.core.executor" in sys.modules
