"""Steps with every possible outcome, in one run."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from flowyml_aws import Pipeline, step


def note(trace: str, name: str) -> None:
    with Path(trace).open("a") as file:
        file.write(f"{name}\n")


def meet(trace: str, me: str, other: str) -> None:
    """Return once the other step runs at the same time."""
    Path(f"{trace}.{me}").touch()
    deadline = time.monotonic() + 60
    while not Path(f"{trace}.{other}").exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{other} did not start")
        time.sleep(0.01)


@step(outputs=["raw"], execution_group="prepare")
def load(trace: str) -> list[int]:
    note(trace, "load")
    print("loaded ünïcode ✓ 数据")
    return [3, 1, 2]


@step(inputs=["raw"], outputs=["clean"], execution_group="prepare")
def clean(raw: list[int], trace: str) -> list[int]:
    note(trace, "clean")
    return sorted(raw)


@step(inputs=["clean"], outputs=["left_sum"])
def left(clean: list[int], trace: str) -> int:
    note(trace, "left")
    meet(trace, "left", "right")
    return sum(clean)


@step(inputs=["clean"], outputs=["right_max", "right_min"])
def right(clean: list[int], trace: str) -> tuple[int, int]:
    note(trace, "right")
    meet(trace, "right", "left")
    return max(clean), min(clean)


@step(inputs=["left_sum", "right_max", "right_min"], outputs=["joined"])
def join(left_sum: int, right_max: int, right_min: int, trace: str) -> dict[str, int]:
    note(trace, "join")
    return {"sum": left_sum, "max": right_max, "min": right_min}


@step(inputs=["clean"], outputs=["bad"], execution_group="bad")
def fail(clean: list[int], trace: str) -> int:
    note(trace, "fail")
    raise ValueError(f"no luck with {clean} – ü")


@step(inputs=["bad"], outputs=["worse"], execution_group="bad")
def after_failure(bad: int, trace: str) -> int:
    note(trace, "after_failure")
    return bad


@step(inputs=["worse"])
def downstream_of_failure(worse: int, trace: str) -> int:
    note(trace, "downstream_of_failure")
    return worse


@step(outputs=["patience"], retry=2, retry_delay=0)
def fail_twice(trace: str) -> int:
    note(trace, "fail_twice")
    tries = Path(trace).read_text().splitlines().count("fail_twice")
    if tries < 3:
        raise ConnectionError(f"try {tries}")
    return tries


@step(outputs=["never"], timeout=0.2)
def take_too_long(trace: str) -> None:
    note(trace, "take_too_long")
    time.sleep(600)


@step(inputs=["clean"], outputs=["extra"], condition=lambda clean: len(clean) > 100)
def perhaps(clean: list[int], trace: str) -> int:
    note(trace, "perhaps")
    return len(clean)


@step(inputs=["extra"], outputs=["more"], execution_group="partly_skipped")
def downstream_of_skipped(extra: int, trace: str) -> int:
    note(trace, "downstream_of_skipped")
    return extra


@step(inputs=["clean"], outputs=["apart"], execution_group="partly_skipped")
def unrelated_to_skipped(clean: list[int], trace: str) -> int:
    note(trace, "unrelated_to_skipped")
    return len(clean)


@step(inputs=["clean"], outputs=["picture"])
def draw(clean: list[int], trace: str) -> Path:
    note(trace, "draw")
    path = Path(tempfile.mkdtemp(), "picture.txt")
    path.write_text("*" * sum(clean))
    return path


@step(outputs=["nothing"])
def crash(trace: str) -> None:
    note(trace, "crash")
    os._exit(3)


pipeline = Pipeline("every way")
pipeline.add_steps([load, clean, left, right, join, fail, after_failure, downstream_of_failure])
pipeline.add_steps(
    [fail_twice, take_too_long, perhaps, downstream_of_skipped, unrelated_to_skipped]
)
pipeline.add_steps([draw, crash])
