"""Two maps of the same items, one after the other, and a step that reads all results."""

from __future__ import annotations

from pathlib import Path

from flowyml_aws import Pipeline, step


def note(trace: str, name: str) -> None:
    with Path(trace).open("a", encoding="utf-8") as file:
        file.write(f"{name}\n")


@step(outputs=["squares"])
def square(number: int, trace: str, bad: int = -1, large: int = -1) -> int:
    note(trace, f"square {number}")
    if number == bad:
        raise ValueError(f"{number} is bad")
    if number == large and not Path(f"{trace}.grown").exists():
        Path(f"{trace}.grown").touch()
        raise MemoryError("too large")
    return number * number


@step(inputs=["squares"], outputs=["halves"])
def halve(squares: int, trace: str) -> float:
    note(trace, f"halve {squares}")
    return squares / 2


@step(inputs=["halves"], outputs=["total"])
def total(halves: list[float], trace: str) -> float:
    note(trace, "total")
    return sum(halves)


def make(halves_per_job: int = 1) -> Pipeline:
    steps = [
        square.map(grid={"number": range(4)}, items_per_job=1),
        halve.map("squares", items_per_job=halves_per_job),
        total,
    ]
    return Pipeline("mapped").add_steps(steps)


def in_pairs() -> Pipeline:
    return make(halves_per_job=2)


pipeline = make()
