"""A map of 60 items in 3 jobs, and a step that reads the list of all its values."""

from __future__ import annotations

from flowyml_aws import Pipeline, step


@step(outputs=["squares"])
def square(number: int) -> int:
    return number * number


@step(inputs=["squares"], outputs=["total"])
def total(squares: list[int]) -> int:
    return sum(squares)


pipeline = Pipeline("gathered").add_steps(
    [square.map(grid={"number": range(60)}, items_per_job=20), total]
)
