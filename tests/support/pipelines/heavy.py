"""A value of several parts that is passed between jobs."""

from __future__ import annotations

import random

from flowyml_aws import Pipeline, step
from flowyml_aws.core.resources import ResourceRequirements


@step(outputs=["large"], execution_group="first", resources=ResourceRequirements(memory="8Gi"))
def make() -> bytes:
    return random.Random(0).randbytes(17 << 20)


@step(inputs=["large"], outputs=["size"], execution_group="second")
def measure(large: bytes) -> int:
    print(f"{len(large)} bytes")
    return len(large)


pipeline = Pipeline("heavy").add_steps([make, measure])
