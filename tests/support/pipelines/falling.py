"""A step that fails, and two jobs that wait for it."""

from __future__ import annotations

from flowyml_aws import Pipeline, step


@step(outputs=["a"])
def fail(trace: str) -> float:
    return len(trace) / 0


@step(inputs=["a"], outputs=["b"])
def follow(a: float) -> float:
    return a


@step(inputs=["b"], outputs=["c"])
def end(b: float) -> float:
    return b


pipeline = Pipeline("falling", context={"trace": ""})
for function in (fail, follow, end):
    pipeline.add_step(function)
