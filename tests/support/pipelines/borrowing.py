"""Steps that import a package which the client does not have."""

from __future__ import annotations

from flowyml_aws import Pipeline, step


@step(outputs=["value"])
def borrow():
    import small  # type: ignore[import-not-found]

    return small.VALUE


@step(inputs=["value"], outputs=["more"])
def add(value):
    import small

    return value + small.VALUE


pipeline = Pipeline("borrowing").add_steps([borrow, add])
