"""Conversion of FlowyML steps and pipelines, and rejection of unsupported features."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("flowyml", reason="needs FlowyML: `make flowyml` has it")

import flowyml
from flowyml.core.conditional import ConditionalBranch
from flowyml.core.resources import GPUConfig, NodeAffinity, ResourceRequirements

from flowyml_aws.core.errors import InvalidPipelineError
from flowyml_aws.core.resources import GPUConfig as OurGPU
from flowyml_aws.core.resources import NodeAffinity as OurAffinity
from flowyml_aws.core.resources import ResourceRequirements as OurResources
from flowyml_aws.integrations.flowyml.adapter import pipeline_of
from flowyml_aws.pipeline import Pipeline
from tests.support.rigs import BackendRig

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("local_project")]


def adapted(*steps: Any, **options: Any) -> Pipeline:
    return pipeline_of(flowyml.Pipeline("p", **options).add_steps(list(steps)))


def rejection(pipeline: Any) -> str:
    with pytest.raises(InvalidPipelineError) as caught:
        pipeline_of(pipeline)
    return str(caught.value)


def double(data: int) -> int:
    return 2 * data


def test_a_step_keeps_what_it_declares() -> None:
    def ready(data: int) -> bool:
        return data > 1

    declared = flowyml.step(
        name="twice",
        inputs=["data"],
        outputs=["result"],
        cache="input_hash",
        retry=3,
        timeout=60,
        tags={"team": "growth", "tries": 2},
        condition=ready,
        execution_group="group",
        pipeline="p",
    )(double)
    (step,) = adapted(declared).steps
    assert step.func is double
    assert (step.name, step.inputs, step.outputs) == ("twice", ("data",), ("result",))
    assert (step.cache, step.cache_explicit) == ("input_hash", True)
    assert (step.retry, step.timeout_s) == (3, 60)
    assert step.tags == {"team": "growth", "tries": "2", "pipeline": "p"}
    assert step.condition is ready
    assert step.execution_group == "group"


def test_the_default_cache_rule_is_explicit_only_with_store_all() -> None:
    declared = flowyml.step(double, register=False)
    (step,) = adapted(declared, context=flowyml.context(data=1)).steps
    assert (step.cache, step.cache_explicit) == ("code_hash", False)
    (step,) = pipeline_of(flowyml.Pipeline("p").add_step(declared), ["data"], store_all=True).steps
    assert (step.cache, step.cache_explicit) == ("code_hash", True)


def test_the_context_is_flattened_into_a_copy() -> None:
    context = flowyml.context(a=1, b=2).inherit(b=3)
    pipeline = adapted(context=context)
    assert pipeline.context.to_dict() == {"a": 1, "b": 3}
    pipeline.context.update({"a": 5})
    assert context["a"] == 1


GPU = OurResources(cpu="4", memory="8GB", gpu=OurGPU("nvidia-v100", 2, "16Gi"))
ON_SPOT = OurAffinity(
    {"zone": "a"}, {"kind": "c5"}, ({"key": "nvidia.com/gpu", "operator": "Exists"},)
)


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        (None, None),
        ({}, None),
        (
            ResourceRequirements(cpu="4", memory="8GB", gpu=GPUConfig("nvidia-v100", 2, "16Gi")),
            GPU,
        ),
        (
            {
                "cpu": "4",
                "memory": "8GB",
                "gpu": {"type": "nvidia-v100", "count": 2, "memory": "16Gi"},
            },
            GPU,
        ),
        # FlowyML cannot parse numbers, and keeps such a dict unchanged.
        ({"cpu": 4, "memory": "8Gi"}, OurResources(cpu=4, memory="8Gi")),
        # Nor does it know nodes.
        ({"cpu": "4", "nodes": 4}, OurResources(cpu="4", nodes=4)),
        (
            ResourceRequirements(
                storage="20Gi",
                node_affinity=NodeAffinity(
                    required={"zone": "a"},
                    preferred={"kind": "c5"},
                    tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists"}],
                ),
            ),
            OurResources(storage="20Gi", node_affinity=ON_SPOT),
        ),
        # FlowyML creates the object, but keeps the nested dict.
        (
            {"cpu": "1", "node_affinity": {"required": {"zone": "a"}}},
            OurResources(cpu="1", node_affinity=OurAffinity({"zone": "a"})),
        ),
    ],
)
def test_resources_are_converted_from_every_form(
    resources: Any, expected: OurResources | None
) -> None:
    declared = flowyml.step(resources=resources)(double)
    (step,) = pipeline_of(flowyml.Pipeline("p").add_step(declared), ["data"]).steps
    assert step.requirements() == expected


def test_an_unknown_resource_that_flowyml_would_ignore_is_an_error() -> None:
    step = flowyml.step(resources={"cpu": "4", "mem": "8Gi"})(double)
    report = rejection(flowyml.Pipeline("p").add_step(step))
    assert "Step 'double': Unknown key 'mem' in resources" in report


def test_a_parameter_named_like_an_asset_is_an_input() -> None:
    make = flowyml.step(outputs=["data"], name="make")(lambda: 1)
    pipeline = adapted(flowyml.step(double), make)
    assert [step.inputs for step in pipeline.steps] == [("data",), ()]


def test_an_input_without_a_parameter_only_decides_the_order_and_is_noted() -> None:
    @flowyml.step(outputs=["ready"], register=False)
    def prepare() -> int:
        return 1

    @flowyml.step(inputs=["ready", "data"], register=False)
    def train(data: int, rate: float = 0.1) -> float:
        return data * rate

    pipeline = pipeline_of(flowyml.Pipeline("p").add_steps([prepare, train]), ["data"])
    trained = pipeline.steps[1]
    assert (trained.inputs, trained.after) == (("data",), ("ready",))
    (job,) = (job for job in pipeline.plan(inputs=["data"]).jobs if job.name == "train")
    assert job.after == ("prepare",)
    assert job.reads == {"data": None}
    assert "no parameter of step 'train' takes 'ready', which only decides its order" in job.notes


def test_an_input_without_a_parameter_that_moves_others_is_rejected() -> None:
    def train(b: int, x: int = 0, c: int = 0) -> None: ...

    declared = flowyml.step(inputs=["a", "b", "data/c"], register=False)(train)
    with pytest.raises(InvalidPipelineError, match=r"inputs without a parameter \('a'\)"):
        pipeline_of(flowyml.Pipeline("p").add_step(declared), ["a", "b", "data/c"])


def test_a_parameter_with_a_context_value_or_a_default_is_not_an_input() -> None:
    make = flowyml.step(outputs=["data", "more"], name="make")(lambda: (1, 2))

    def read(data: int, more: int = 0) -> int:
        return data + more

    _, step = adapted(make, flowyml.step(read), context=flowyml.context(data=3)).steps
    assert step.inputs == ()


def unsupported_steps() -> dict[str, Any]:
    inner = flowyml.Pipeline("inner").add_step(flowyml.step(double, register=False))
    return {
        "map_task": flowyml.map_task(inputs=["data"])(double),
        "dynamic": flowyml.dynamic(lambda: inner, name="search"),
        "eval": flowyml.EvalStep(scorers=[]),
        "function": double,
    }


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("map_task", ["'double' (MapTaskStep) is not supported on AWS", "map inside a @step"]),
        ("dynamic", ["'search' (DynamicStep) is not supported on AWS", "before the pipeline runs"]),
        ("eval", ["(EvalStep) is not supported on AWS", "inside a @step"]),
        ("function", ["(function) is not supported on AWS", "FlowyML's @step"]),
    ],
)
def test_unsupported_steps_are_rejected_by_name(kind: str, words: list[str]) -> None:
    report = rejection(flowyml.Pipeline("p").add_step(unsupported_steps()[kind]))
    assert all(word in report for word in words), report


def test_an_unknown_control_flow_is_rejected_by_name() -> None:
    pipeline = flowyml.Pipeline("p", context=flowyml.context(data=1))
    pipeline.add_step(flowyml.step(double)).add_control_flow(ConditionalBranch())
    report = rejection(pipeline)
    assert "Control flow 'ConditionalBranch' is not supported on AWS" in report
    assert "@step(condition=…)" in report


def test_a_function_as_cache_rule_is_rejected() -> None:
    step = flowyml.step(cache=lambda inputs, params: str(inputs))(double)
    report = rejection(flowyml.Pipeline("p").add_step(step))
    assert "Step 'double': a function as cache rule is not supported" in report


def test_one_report_names_all_unsupported_features(local_project: BackendRig) -> None:
    steps = unsupported_steps()
    pipeline = flowyml.Pipeline("p").add_steps([steps["map_task"], steps["dynamic"]])
    pipeline.add_control_flow(ConditionalBranch())
    report = rejection(pipeline)
    assert all(word in report for word in ("MapTaskStep", "DynamicStep", "ConditionalBranch"))


@pytest.mark.parametrize("kind", ["map_task", "dynamic"])
def test_a_rejected_pipeline_is_not_submitted(kind: str, local_project: BackendRig) -> None:
    make = flowyml.step(outputs=["data"], name="make")(lambda: [1])
    pipeline = flowyml.Pipeline("p").add_steps([make, unsupported_steps()[kind]])
    with pytest.raises(InvalidPipelineError):
        pipeline.run()
    assert not (local_project.folder / ".flowyml" / "aws").exists()
