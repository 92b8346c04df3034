"""The pipeline of a schedule: `shape.json` next to it says what its steps do.

It is copied into the project of each run, and its jobs have nothing else of these tests.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from flowyml_aws import Context, Pipeline, step
from flowyml_aws.core.branches import Branch
from flowyml_aws.core.step import Step

_TIME_LIMIT_S = 120  # two real seconds, because the clock of the job runs faster
_HANG_S = 30  # real

SHAPE = json.loads(Path(__file__).with_name("shape.json").read_text("utf-8"))
DECIDING = {task["branch"][0] for task in SHAPE["tasks"] if task["branch"] is not None}


def add_step(number: int, task: dict[str, Any]) -> Step:
    items = task["items"]
    over = "" if items is None else _list_of(number, items)

    @step(
        name=f"s{number}",
        inputs=[f"a{read}" for read in task["reads"]],
        outputs=[f"a{number}"],
        execution_group=_group_of(number),
        retry=task["failures"],
        retry_delay=30,
        timeout=_TIME_LIMIT_S if task["trouble"] in ("HANG", "STUCK") else None,
    )
    def add(**values: Any) -> Any:
        index, value = (None, 0) if items is None else values.pop(over)
        name = f"s{number}" if items is None else f"s{number}[{index}]"
        has_faults = items is None or index == items["item"]
        if SHAPE["trace"] is not None:
            with Path(SHAPE["trace"]).open("a+", encoding="utf-8") as file:
                file.seek(0)
                earlier = file.read().splitlines().count(name)
                file.write(f"{name}\n")
            time.sleep(SHAPE["step_s"])
            if has_faults and task["trouble"] and not earlier:
                TROUBLES[task["trouble"]]()
            if has_faults and earlier < task["failures"]:
                raise RuntimeError(f"execution {earlier + 1} fails")
        if has_faults and items is not None and items["drops"]:
            raise LookupError("each execution fails")
        total = 31 * number + value + sum(map(_number, values.values()))
        if task["returns"] is not None:
            return [[n, total + n] for n in range(task["returns"])]
        return total if items is None else [index, total]

    if items is None:
        branch = task["branch"]
        return add if branch is None else replace(add, branch=Branch(f"d{branch[0]}", branch[1]))
    return add.map(
        over,
        items_per_job=items["items_per_job"],
        expect=items["expect"],
        on_item_failure=items["rule"],
    )


def add_decision(number: int) -> Step:
    """Return the decision about a step: the parity of its output."""

    @step(
        name=f"d{number}",
        inputs=[f"a{number}"],
        execution_group=_group_of(number),
        cache=False,
    )
    def decide(**values: int) -> str:
        if SHAPE["trace"] is not None:
            with Path(SHAPE["trace"]).open("a", encoding="utf-8") as file:
                file.write(f"d{number}\n")
        return str(values[f"a{number}"] % 2)

    return replace(decide, cases=("0", "1"))


def _group_of(number: int) -> str | None:
    """Return the group of a step, which is in one with its decision if it has any."""
    group = SHAPE["tasks"][number]["group"]
    return group or (f"s{number}" if number in DECIDING else None)


def _list_of(number: int, items: dict[str, Any]) -> str:
    """Return the name of the list of a mapped step, whose items are an index and a number."""
    return f"l{number}" if items["over"] is None else f"a{items['over']}"


def _number(value: Any) -> int:
    """Return a number that a step reads, or the sum of those of a list."""
    return sum(number for _, number in value) if isinstance(value, list) else value


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

LISTS = {
    f"l{number}": [[n, n] for n in range(task["items"]["length"])]
    for number, task in enumerate(SHAPE["tasks"])
    if task["items"] is not None and task["items"]["over"] is None
}


def steps() -> Iterator[Step]:
    for number, task in enumerate(SHAPE["tasks"]):
        yield add_step(number, task)
        if number in DECIDING:
            yield add_decision(number)


pipeline = Pipeline(SHAPE["name"], Context(**LISTS)).add_steps(steps())
