"""Two branches that produce the same assets, and a reader of these."""

from __future__ import annotations

from typing import Any

from flowyml_aws import If, Pipeline, step


@step(outputs=["accuracy"])
def evaluate() -> float:
    return 0.9


@step(inputs=["accuracy"], outputs=["model", "size"])
def large(accuracy: float) -> dict[str, Any]:
    return {"model": f"large {accuracy}", "size": 5}


@step(inputs=["accuracy"], outputs=["model", "size"])
def small(accuracy: float) -> dict[str, Any]:
    return {"model": f"small {accuracy}", "size": 3}


@step(inputs=["model", "size"])
def judge(model: str, size: int) -> str:
    return f"{model} of size {size}"


pipeline = Pipeline("fitting", context={"limit": 0.8}).add_step(evaluate)
pipeline.add_control_flow(If(lambda accuracy, limit: accuracy > limit, large, small))
pipeline.add_step(judge)
