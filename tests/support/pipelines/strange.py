"""Steps with names that AWS does not accept."""

from __future__ import annotations

from flowyml_aws import Pipeline, step
from flowyml_aws.core.step import Step

NAMES = ["a step", "a.step", "a_step", "ä", "x" * 200 + "1", "x" * 200 + "2"]


def named(name: str) -> Step:
    @step(name=name)
    def give() -> str:
        return name

    return give


pipeline = Pipeline("My pipeline: été").add_steps(map(named, NAMES))
