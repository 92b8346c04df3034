"""A sweep of which some trials fail, and a step over its models."""

from __future__ import annotations

from flowyml_aws import Pipeline, log_metric, step


@step(outputs=["model"])
def train(rate: float, depth: int) -> float:
    log_metric("loss", 1 / (rate * depth))
    if rate == 0.5 and depth == 2:
        raise ValueError("diverged")
    return rate * depth


@step(inputs=["model"], outputs=["best"])
def best(model: list[float]) -> float:
    return max(model)


GRID: dict[str, list[float]] = {"rate": [0.1, 0.5], "depth": [1, 2, 3]}


def sweep() -> Pipeline:
    trials = train.map(grid=GRID, items_per_job=2, on_item_failure="drop")
    return Pipeline("mapped").add_steps([trials, best])


def strict() -> Pipeline:
    """Return a sweep of which every trial must succeed, and that no step reads."""
    trials = train.map(grid=GRID, items_per_job=6, on_item_failure="drop", min_success=1.0)
    return Pipeline("strict").add_steps([trials])


@step(outputs=["squared"])
def square(number: int) -> int:
    return number * number


@step(inputs=["squared"], outputs=["count"])
def count(squared: list[int]) -> int:
    return len(squared)


def nothing() -> Pipeline:
    return Pipeline("nothing", {"number": []}).add_steps([square.map(over="number"), count])
