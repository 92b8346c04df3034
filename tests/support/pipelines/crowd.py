"""Independent jobs; each records when it begins and ends."""

from __future__ import annotations

import time
from pathlib import Path

from flowyml_aws import Pipeline, step
from flowyml_aws.core.step import Step


def work_step(name: str, cpu: str) -> Step:
    @step(name=name, resources={"cpu": cpu, "memory": "64Mi"})
    def work(trace: str) -> None:
        for event in ("begins", "ends"):
            with Path(trace).open("a") as file:
                file.write(f"{name} {event}\n")
            time.sleep(0.1)

    return work


same = Pipeline("crowd", context={"trace": ""}).add_steps(
    [work_step(name, "1") for name in ("a", "b", "c")]
)
greedy = Pipeline("crowd", context={"trace": ""}).add_steps(
    [work_step("a", "64"), work_step("b", "1")]
)
