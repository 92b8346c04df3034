"""A map in a group of two steps, with a reader of all items. Each item writes to the trace."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any, Literal

from flowyml_aws import Context, Pipeline, step


def note(trace: str, text: str) -> None:
    with Path(trace).open("a", encoding="utf-8") as lines:
        lines.write(f"{text}\n")


def square(shard: int, trace: str) -> int:
    note(trace, f"square {shard}")
    if shard in (3, 4) and not Path(f"{trace}.go").exists():
        raise ValueError(f"shard {shard} is bad")
    return shard * shard


def halve(squared: int, trace: str) -> float:
    note(trace, f"halve {squared}")
    return squared / 2


def hold(shard: int, trace: str) -> int:
    note(trace, f"hold {shard}")
    while shard == 2 and not Path(f"{trace}.go").exists():
        if Path(f"{trace}.lost").exists():
            Path(f"{trace}.lost").unlink()
            os.kill(os.getpid(), signal.SIGTERM)  # as every host does that is lost
        time.sleep(0.01)
    return shard


def add(half: list[float], trace: str) -> float:
    note(trace, "add")
    return sum(half)


def report(total: float) -> str:
    return f"total {total}"


def listed(numbers: Any, trace: str) -> Any:
    note(trace, "list")
    return numbers


def spoil(shards: Any, trace: str, spoiled: str) -> None:
    if not Path(f"{trace}.{spoiled}").exists():
        Path(f"{trace}.{spoiled}").touch()
        for file in (file for file in Path(".flowyml/aws/artifacts").rglob("*") if file.is_file()):
            if (b'"position"' in file.read_bytes()) == (spoiled == "index"):
                file.unlink()


def damaged() -> Pipeline:
    """Return a pipeline in which the stored list is lost once before its items are read."""
    squares = step(outputs=["squared"], after=["spoilt"])(square)
    pipeline = Pipeline("maps-damaged", Context(numbers=[1, 2, 5]))
    pipeline.add_step(step(outputs=["shards"])(listed))
    pipeline.add_step(step(inputs=["shards"], outputs=["spoilt"])(spoil))
    pipeline.add_step(squares.map(over="shards", items_per_job=2, expect=3))
    return pipeline


def mapped(rule: Literal["stop", "finish", "drop"], share: float | None = None) -> Pipeline:
    """Return the pipeline with a rule for failed items."""
    squares = step(outputs=["squared"], execution_group="g")(square)
    halves = step(outputs=["half"], execution_group="g")(halve)
    pipeline = Pipeline(f"maps-{rule}", Context(shards=[1, 2, 3, 4, 5]))
    pipeline.add_step(
        squares.map(over="shards", items_per_job=2, on_item_failure=rule, min_success=share)
    )
    pipeline.add_step(halves.map(over="squared", on_item_failure=rule, min_success=share))
    pipeline.add_step(step(inputs=["half"], outputs=["total"])(add))
    pipeline.add_step(step(inputs=["total"], outputs=["text"])(report))
    return pipeline


def produced(
    rule: Literal["stop", "finish", "drop"],
    share: float | None = None,
    second: Literal["finish"] | None = None,
    expect: int | None = 3,
) -> Pipeline:
    """Return a pipeline whose list is produced in the run, and has 5 items.

    Args:
        rule: Rule for failed items.
        share: Share of the items that must succeed.
        second: Rule of the second mapped step, if it is another one.
        expect: Number of items to plan for.
    """
    squares = step(outputs=["squared"], execution_group="g")(square)
    halves = step(outputs=["half"], execution_group="g")(halve)
    pipeline = Pipeline(f"maps-produced-{rule}-{second}", Context(numbers=[1, 2, 3, 4, 5]))
    pipeline.add_step(step(outputs=["shards"])(listed))
    rules: Any = {"on_item_failure": rule, "min_success": share}
    pipeline.add_step(squares.map(over="shards", items_per_job=1, expect=expect, **rules))
    rules = rules if second is None else {"on_item_failure": second}
    pipeline.add_step(halves.map(over="squared", **rules))
    pipeline.add_step(step(inputs=["half"], outputs=["total"])(add))
    pipeline.add_step(step(inputs=["total"], outputs=["text"])(report))
    return pipeline


held = Pipeline("maps-held", Context(shards=[1, 2, 3, 4]))
held.add_step(step(outputs=["half"])(hold).map(over="shards", items_per_job=2))
held.add_step(step(inputs=["half"], outputs=["total"])(add))

finish = mapped("finish")
stop = mapped("stop")
drop = mapped("drop", 0.6)
strict = mapped("drop", 0.7)

produced_finish = produced("finish")
produced_unknown = produced("finish", expect=None)
produced_drop = produced("drop", 0.6)
produced_strict = produced("drop", 0.7)
produced_mixed = produced("drop", second="finish")
