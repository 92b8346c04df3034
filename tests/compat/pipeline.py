"""Pipeline whose runs are stored by each released version. It must never change."""

from __future__ import annotations

import numpy as np

from flowyml_aws import Context, Pipeline, log_metric, step


@step(outputs=["numbers"], execution_group="first")
def count(rows: int) -> list[int]:
    return list(range(rows))


@step(inputs=["numbers"], outputs=["matrix", "names"], execution_group="first")
def spread(numbers: list[int]) -> tuple[np.ndarray, dict[str, tuple[int, str]]]:
    return np.arange(len(numbers) * 3.0).reshape(-1, 3), {"a": (1, "x")}


@step(inputs=["matrix"], outputs=["total"])
def add(matrix: np.ndarray, fails: bool) -> float:
    if fails:
        raise ValueError("as requested")
    log_metric("total", float(matrix.sum()))
    return float(matrix.sum())


@step(outputs=["squares"])
def square(items: int) -> int:
    return items * items


pipeline = Pipeline("stored", context=Context(rows=4, fails=False, items=[1, 2, 3]))
pipeline.add_steps([count, spread, add, square.map(over="items")])
