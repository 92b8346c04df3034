"""A map whose items get a factor, and the sum of its outputs."""

from __future__ import annotations

from flowyml_aws import Pipeline, step


@step(outputs=["product"])
def multiply(number: int, factor: int) -> int:
    return number * factor


@step(inputs=["product"], outputs=["total"])
def add(product: list[int]) -> int:
    return sum(product)


pipeline = Pipeline("products").add_steps([multiply.map(over="number", items_per_job=3), add])
