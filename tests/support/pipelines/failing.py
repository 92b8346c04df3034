"""A step that fails."""

from __future__ import annotations

from flowyml_aws import Pipeline, step


@step
def fail(trace: str) -> float:
    return len(trace) / 0


pipeline = Pipeline("failing", context={"trace": ""}).add_step(fail)
