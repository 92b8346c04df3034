"""A pipeline, and one that contains it twice."""

from __future__ import annotations

from pathlib import Path

from flowyml_aws import Pipeline, Skipped, step


def ran(trace: str, name: str) -> None:
    with Path(trace).open("a") as file:
        file.write(f"{name}\n")


@step(inputs=["raw"], outputs=["small", "large"], execution_group="split")
def split(trace: str, raw: list[int], limit: int) -> dict[str, list[int]]:
    ran(trace, "split")
    if not raw:
        raise ValueError("nothing to split")
    small = [value for value in raw if value < limit]
    return {"small": small, "large": [value for value in raw if value >= limit]}


@step(inputs=["small"], execution_group="split")
def count(trace: str, small: list[int]) -> int:
    ran(trace, "count")
    return len(small)


@step(outputs=["square"])
def squared(trace: str, large: int, power: int = 2) -> int:
    ran(trace, f"squared {large}")
    return int(large**power)


@step(inputs=["square", "count"], outputs=["total"])
def add(trace: str, square: list[int], count: int) -> int:
    ran(trace, "add")
    return sum(square) + count


@step(inputs=["total"], outputs=["extra"], condition=lambda total, raw: total > 100 * len(raw))
def extra(total: int) -> int:
    return total


parts = Pipeline("parts", {"limit": 3}).add_steps(
    [split, count, squared.map("large", expect=2), add, extra]
)


@step(outputs=["numbers"])
def load(trace: str, last: int) -> list[int]:
    ran(trace, "load")
    return list(range(1, last + 1))


@step(inputs=["first", "second", "none"], outputs=["sum"])
def join(first: int, second: int, none: int | Skipped) -> int:
    assert isinstance(none, Skipped)
    return first + second


middle = Pipeline("middle").add_sub_pipeline(parts, outputs=["total", "extra"])

whole = Pipeline("whole", {"last": 4, "power": 2})
whole.add_step(load)
whole.add_sub_pipeline(
    parts,
    "one",
    input_mapping={"numbers": "raw"},
    output_mapping={"total": "first", "extra": "none"},
)
whole.add_sub_pipeline(
    middle,
    "two",
    input_mapping={"numbers": "raw"},
    output_mapping={"total": "second"},
)
whole.add_step(join)
