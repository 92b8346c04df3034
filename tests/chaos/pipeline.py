"""The pipeline of a schedule: `shape.json` next to it says what its steps do.

It is copied into the project of each run, and its jobs have nothing else of these tests.
"""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from flowyml_aws import Pipeline, step
from flowyml_aws.core.step import Step

_TIME_LIMIT_S = 120  # two real seconds, because the clock of the job runs faster
_HANG_S = 30  # real

SHAPE = json.loads(Path(__file__).with_name("shape.json").read_text("utf-8"))


def add_step(number: int, task: dict[str, Any]) -> Step:
    @step(
        name=f"s{number}",
        inputs=[f"a{read}" for read in task["reads"]],
        outputs=[f"a{number}"],
        execution_group=task["group"],
        retry=task["failures"],
        retry_delay=30,
        timeout=_TIME_LIMIT_S if task["trouble"] in ("HANG", "STUCK") else None,
    )
    def add(**values: int) -> int:
        if SHAPE["trace"] is not None:
            with Path(SHAPE["trace"]).open("a+", encoding="utf-8") as file:
                file.seek(0)
                earlier = file.read().splitlines().count(f"s{number}")
                file.write(f"s{number}\n")
            time.sleep(SHAPE["step_s"])
            if task["trouble"] and not earlier:
                TROUBLES[task["trouble"]]()
            if earlier < task["failures"]:
                raise RuntimeError(f"execution {earlier + 1} fails")
        return 31 * number + sum(values.values())

    return add


def raise_error() -> None:
    raise ValueError("the first execution fails")


def kill() -> None:
    os.killpg(os.getpgrp(), signal.SIGKILL)


def fill_disk() -> None:
    Path("/dev/full").write_text("1")


def hang() -> None:
    time.sleep(_HANG_S)


def be_stuck() -> None:
    end = time.monotonic() + _HANG_S
    while time.monotonic() < end:
        with suppress(BaseException):
            time.sleep(_HANG_S)


TROUBLES = {
    "RAISE": raise_error,
    "KILL": kill,
    "DISK": fill_disk,
    "HANG": hang,
    "STUCK": be_stuck,
}

pipeline = Pipeline(SHAPE["name"]).add_steps(
    [add_step(number, task) for number, task in enumerate(SHAPE["tasks"])]
)
