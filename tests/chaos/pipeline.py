"""The pipeline of a schedule: `shape.json` next to it says what its steps do.

It is copied into the project of each run, and its jobs have nothing else of these tests.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from flowyml_aws import Pipeline, step
from flowyml_aws.core.step import Step

SHAPE = json.loads(Path(__file__).with_name("shape.json").read_text("utf-8"))


def add_step(number: int, task: dict[str, Any]) -> Step:
    @step(
        name=f"s{number}",
        inputs=[f"a{read}" for read in task["reads"]],
        outputs=[f"a{number}"],
        execution_group=task["group"],
        retry=task["failures"],
        retry_delay=0,
    )
    def add(**values: int) -> int:
        if SHAPE["trace"] is not None:
            with Path(SHAPE["trace"]).open("a+", encoding="utf-8") as file:
                file.seek(0)
                earlier = file.read().splitlines().count(f"s{number}")
                file.write(f"s{number}\n")
            time.sleep(SHAPE["step_s"])
            if task["kills"] and not earlier:
                os.killpg(os.getpgrp(), signal.SIGKILL)
            if earlier < task["failures"]:
                raise RuntimeError(f"execution {earlier + 1} fails")
        return 31 * number + sum(values.values())

    return add


pipeline = Pipeline(SHAPE["name"]).add_steps(
    [add_step(number, task) for number, task in enumerate(SHAPE["tasks"])]
)
