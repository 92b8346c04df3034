"""Branches of FlowyML pipelines: `If` and `Switch`."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("flowyml", reason="needs FlowyML: `make flowyml` has it")

import flowyml

from flowyml_aws.core.errors import InvalidPipelineError
from flowyml_aws.integrations.flowyml import FlowymlAws
from flowyml_aws.integrations.flowyml.adapter import pipeline_of
from tests.support.rigs import BackendRig

pytestmark = pytest.mark.system


def step(**options: Any) -> Any:
    return flowyml.step(register=False, **options)


def test_a_condition_reads_a_flowyml_asset_like_in_flowyml(local_project: BackendRig) -> None:
    @step(outputs=["metrics/evaluation"])
    def evaluate() -> Any:
        return flowyml.Metrics.create(name="evaluation", accuracy=0.93, tags={"source": "test"})

    @step()
    def deploy() -> str:
        return "deployed"

    @step()
    def retrain() -> str:
        return "retrained"

    def is_good(ctx: Any) -> bool:
        metrics = ctx.steps["evaluate"].outputs["metrics/evaluation"]
        values = (metrics.metrics["accuracy"], metrics.data["accuracy"], metrics["accuracy"])
        return min(values) > ctx.params["threshold"] and metrics.metadata["source"] == "test"

    pipeline = flowyml.Pipeline("p", context=flowyml.context(threshold=0.9)).add_step(evaluate)
    pipeline.add_control_flow(flowyml.If(is_good, then_step=deploy, else_step=retrain))
    result = pipeline.run(orchestrator=FlowymlAws(backend="local", progress=False))

    assert result.success
    assert list(result.step_results) == ["evaluate", "deploy"]
    assert result.outputs["deploy"] == "deployed"
    assert "if:deploy" not in result.outputs
    assert set(pipeline.metadata_store.load_run(result.run_id)["steps"]) == {"evaluate"}


def test_a_switch_and_plain_functions_are_converted() -> None:
    @step(outputs=["kind"])
    def detect() -> str:
        return "image"

    def images(kind: str) -> str:
        return kind

    switch = flowyml.Switch(lambda kind: kind)
    switch.case("image")(images)
    switch.default()(step(name="others")(lambda: "others"))
    pipeline = flowyml.Pipeline("p").add_step(detect)
    pipeline.add_control_flow(switch)
    steps = {each.name: each for each in pipeline_of(pipeline).all_steps}
    assert list(steps) == ["detect", "switch:images", "images", "others"]
    assert steps["images"].inputs == ("kind",)
    assert steps["switch:images"].cases == ("image", "default")


def test_a_step_in_the_pipeline_and_in_a_branch_is_a_mistake() -> None:
    @step()
    def deploy() -> None: ...

    pipeline = flowyml.Pipeline("p").add_step(deploy)
    pipeline.add_control_flow(flowyml.If(lambda ctx: ctx.params["x"], then_step=deploy))
    with pytest.raises(InvalidPipelineError, match="was also added with add_step"):
        pipeline_of(pipeline).build()
