"""Many independent jobs, and one that depends on all of them."""

from __future__ import annotations

from flowyml_aws import Pipeline, step
from flowyml_aws.core.step import Step


def part(number: int) -> Step:
    @step(name=f"part {number}", outputs=[f"value_{number}"])
    def give() -> int:
        return number

    return give


def make(parts: int = 100) -> Pipeline:
    @step(inputs=[f"value_{number}" for number in range(parts)])
    def total(**values: int) -> int:
        return sum(values.values())

    return Pipeline("wide").add_steps([*(part(number) for number in range(parts)), total])


pipeline = make()


def few() -> Pipeline:
    return make(12)


def twenty_five() -> Pipeline:
    return make(25)


def sixty() -> Pipeline:
    return make(60)


def three_hundred() -> Pipeline:
    return make(300)


def apart(parts: int = 120) -> Pipeline:
    return Pipeline("apart").add_steps([part(number) for number in range(parts)])


def forty_apart() -> Pipeline:
    return apart(40)


def sixty_apart() -> Pipeline:
    return apart(60)


def three_hundred_apart() -> Pipeline:
    return apart(300)
