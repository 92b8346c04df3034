"""FlowyML's steps and pipelines as ours, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("flowyml", reason="needs FlowyML: `make flowyml` has it")

import flowyml
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


def refusal(pipeline: Any) -> str:
    with pytest.raises(InvalidPipelineError) as told:
        pipeline_of(pipeline)
    return str(told.value)


def double(data: int) -> int:
    return 2 * data


def test_a_step_keeps_what_it_declares() -> None:
    def ready(data: int) -> bool:
        return data > 1

    given = flowyml.step(
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
    (step,) = adapted(given).steps
    assert step.func is double
    assert (step.name, step.inputs, step.outputs) == ("twice", ("data",), ("result",))
    assert (step.cache, step.cache_explicit) == ("input_hash", True)
    assert (step.retry, step.timeout_s) == (3, 60)
    assert step.tags == {"team": "growth", "tries": "2", "pipeline": "p"}
    assert step.condition is ready
    assert step.execution_group == "group"


def test_the_default_rule_stores_nothing_that_only_its_group_reads() -> None:
    given = flowyml.step(double, register=False)
    (step,) = adapted(given, context=flowyml.context(data=1)).steps
    assert (step.cache, step.cache_explicit) == ("code_hash", False)
    (step,) = pipeline_of(flowyml.Pipeline("p").add_step(given), ["data"], store_all=True).steps
    assert (step.cache, step.cache_explicit) == ("code_hash", True)


def test_the_context_is_flattened_and_flowymls_is_left_alone() -> None:
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
    ("given", "expected"),
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
        # FlowyML can't read numbers, and leaves such a dict as it is.
        ({"cpu": 4, "memory": "8Gi"}, OurResources(cpu=4, memory="8Gi")),
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
        # It makes the object and leaves the dict inside.
        (
            {"cpu": "1", "node_affinity": {"required": {"zone": "a"}}},
            OurResources(cpu="1", node_affinity=OurAffinity({"zone": "a"})),
        ),
    ],
)
def test_resources_in_every_spelling(given: Any, expected: OurResources | None) -> None:
    one = flowyml.step(resources=given)(double)
    (step,) = pipeline_of(flowyml.Pipeline("p").add_step(one), ["data"]).steps
    assert step.requirements() == expected


def test_an_unknown_key_that_flowyml_would_drop_is_an_error() -> None:
    one = flowyml.step(resources={"cpu": "4", "mem": "8Gi"})(double)
    told = refusal(flowyml.Pipeline("p").add_step(one))
    assert "Step 'double': Unknown key 'mem' in resources" in told


def test_a_parameter_that_is_an_asset_by_name_is_an_input() -> None:
    make = flowyml.step(outputs=["data"], name="make")(lambda: 1)
    pipeline = adapted(flowyml.step(double), make)
    assert [step.inputs for step in pipeline.steps] == [("data",), ()]


def test_a_parameter_of_the_context_or_with_a_default_is_no_input() -> None:
    make = flowyml.step(outputs=["data", "more"], name="make")(lambda: (1, 2))

    def read(data: int, more: int = 0) -> int:
        return data + more

    _, step = adapted(make, flowyml.step(read), context=flowyml.context(data=3)).steps
    assert step.inputs == ()


def approving() -> Any:
    return flowyml.ApprovalStep(lambda data: data)


def kinds() -> dict[str, Any]:
    inner = flowyml.Pipeline("inner").add_step(flowyml.step(double, register=False))
    return {
        "map_task": flowyml.map_task(inputs=["data"])(double),
        "dynamic": flowyml.dynamic(lambda: inner, name="search"),
        "sub_pipeline": flowyml.SubPipelineStep(inner),
        "eval": flowyml.EvalStep(scorers=[]),
        "function": double,
    }


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("map_task", ["'double' (MapTaskStep) can't run on AWS", "map inside a @step"]),
        ("dynamic", ["'search' (DynamicStep) can't run on AWS", "before it runs"]),
        ("sub_pipeline", ["'sub:inner' (SubPipelineStep) can't run on AWS", "add_steps"]),
        ("eval", ["(EvalStep) can't run on AWS", "inside a @step"]),
        ("function", ["(function) can't run on AWS", "FlowyML's @step"]),
    ],
)
def test_other_kinds_of_steps_are_refused_by_name(kind: str, words: list[str]) -> None:
    told = refusal(flowyml.Pipeline("p").add_step(kinds()[kind]))
    assert all(word in told for word in words), told


def test_approvals_are_refused_by_name() -> None:
    step = approving()
    told = refusal(flowyml.Pipeline("p").add_step(step))
    assert "(ApprovalStep) can't run on AWS" in told
    assert "where a person decides" in told


@pytest.mark.parametrize(
    "flow",
    [
        lambda step: flowyml.If(condition=lambda ctx: True, then_step=step),
        lambda step: flowyml.Switch(lambda ctx: "a"),
    ],
    ids=["If", "Switch"],
)
def test_control_flow_is_refused_by_name(flow: Any, request: pytest.FixtureRequest) -> None:
    step = flowyml.step(double)
    pipeline = flowyml.Pipeline("p", context=flowyml.context(data=1)).add_step(step)
    pipeline.add_control_flow(flow(step))
    told = refusal(pipeline)
    assert f"Control flow {request.node.callspec.id!r} can't run on AWS" in told
    assert "@step(condition=…)" in told


def test_a_cache_rule_that_reads_values_is_refused() -> None:
    one = flowyml.step(cache=lambda inputs, params: str(inputs))(double)
    told = refusal(flowyml.Pipeline("p").add_step(one))
    assert "Step 'double': its cache rule is a function of its inputs" in told


def test_one_report_names_all_that_can_not_run(local_project: BackendRig) -> None:
    pipeline = flowyml.Pipeline("p").add_steps([kinds()["map_task"], approving()])
    pipeline.add_control_flow(flowyml.Switch(lambda ctx: "a"))
    told = refusal(pipeline)
    assert all(word in told for word in ("MapTaskStep", "ApprovalStep", "Switch"))


@pytest.mark.parametrize("refused", ["map_task", "sub_pipeline"])
def test_nothing_is_submitted_of_a_refused_pipeline(
    refused: str, local_project: BackendRig
) -> None:
    make = flowyml.step(outputs=["data"], name="make")(lambda: [1])
    pipeline = flowyml.Pipeline("p").add_steps([make, kinds()[refused]])
    with pytest.raises(InvalidPipelineError):
        pipeline.run()
    assert not (local_project.folder / ".flowyml" / "aws").exists()
