from __future__ import annotations

from flowyml_aws import Pipeline, step
from flowyml_aws.core.resources import GPUConfig, ResourceRequirements


@step(
    outputs=["answer"],
    resources=ResourceRequirements(cpu="2", memory="4Gi", gpu=GPUConfig("nvidia-t4")),
)
def train() -> int:
    return 42


pipeline = Pipeline("on-gpu").add_step(train)
