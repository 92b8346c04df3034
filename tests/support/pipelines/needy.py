"""A job that requires a GPU, memory, CPUs and a timeout."""

from __future__ import annotations

from flowyml_aws import GPUConfig, Pipeline, ResourceRequirements, step

NEEDS = ResourceRequirements(cpu="2500m", memory="8Gi", gpu=GPUConfig("nvidia-t4"))


@step(resources=NEEDS, timeout=120)
def train() -> int:
    return 1


pipeline = Pipeline("needy").add_step(train)
