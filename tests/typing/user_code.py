"""Typical code of users, for type checkers: `assert_type` states what an editor shows."""

from __future__ import annotations

from typing import Any

from typing_extensions import assert_type

from flowyml_aws import (
    EFS,
    Context,
    FSx,
    GPUConfig,
    NodeAffinity,
    Pipeline,
    PipelineResult,
    ResourceRequirements,
    Run,
    Step,
    VersionedPipeline,
    log_metric,
    step,
)


@step(outputs=["data"])
def load(rows: int = 10) -> list[int]:
    return list(range(rows))


@step(
    inputs=["data"],
    outputs=["model"],
    execution_group="training",
    resources=ResourceRequirements(
        cpu="8",
        memory="32Gi",
        gpu=GPUConfig("nvidia-a100", count=2),
        node_affinity=NodeAffinity(required={"team": "vision"}),
    ),
    retry=2,
    timeout=3600,
    env={"LEVEL": "9"},
)
def train(data: list[int], epochs: int) -> dict[str, float]:
    log_metric("loss", 1 / len(data), step=epochs)
    return {"loss": 1 / (len(data) * epochs)}


@step(
    image="registry/train:1",
    queue="gpu",
    priority=1,
    shared_memory="8Gi",
    ulimits={"nofile": (1024, 65536), "memlock": -1},
    mounts=[EFS("fs-0123456789abcdef0", read_only=True), FSx("fs-fedcba98765432100", at="/fast")],
)
def with_options() -> int:
    return 1


assert_type(with_options, Step)


@step
def report() -> None:
    print("done")


assert_type(report, Step)
pipeline = (
    Pipeline("typed", context=Context(epochs=3), env={"LEVEL": "1"})
    .add_step(load)
    .add_steps([train, report])
)
assert_type(pipeline, Pipeline)


def main() -> None:
    plan = pipeline.plan(backend={"training": "sagemaker", "*": "batch"}, max_cost_usd=5)
    assert_type(plan.jobs[0].price_usd_hour, float | None)
    assert_type(pipeline.budget_violations(plan)[0].fix, str)

    result = pipeline.run(backend="batch", context={"epochs": 5}, refresh=["train"], progress=False)
    assert_type(result, PipelineResult)
    assert_type(result.success, bool)
    assert_type(result["model"], Any)
    assert_type(result.metrics["train"]["loss"], float)
    assert_type(result.logged["train"].metrics["loss"].values, tuple[float, ...])

    run = pipeline.submit(backend="batch", detach=True)
    assert_type(run, Run)
    assert_type(Run.attach(run.id).wait(), PipelineResult)

    versioned = VersionedPipeline("typed", version="v1.0.0", env={"LEVEL": "2"}).add_steps(
        [load, train]
    )
    assert_type(versioned, VersionedPipeline)
    assert_type(versioned.run(cache=False, allow_pickle=True, env={"LEVEL": "3"}), PipelineResult)
    assert_type(versioned.save_version().version, str)
