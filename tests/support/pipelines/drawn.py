"""A pipeline with the shape in `shape.json`; each step records when it runs."""

from __future__ import annotations

import json
from pathlib import Path

from flowyml_aws import Pipeline, step
from flowyml_aws.core.step import Step

SHAPE = json.loads(Path(__file__).with_name("shape.json").read_text("utf-8"))


def add_step(number: int, reads: list[int], group: str | None) -> Step:
    @step(
        name=f"s{number}",
        inputs=[f"a{read}" for read in reads],
        outputs=[f"a{number}"],
        execution_group=group,
    )
    def add(**values: int) -> int:
        with Path(SHAPE["trace"]).open("a") as file:
            file.write(f"s{number}\n")
        return number + sum(values.values())

    return add


pipeline = Pipeline("drawn").add_steps(
    [add_step(number, *task) for number, task in enumerate(SHAPE["tasks"])]
)
