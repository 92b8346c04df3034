"""Conversion of FlowyML steps and pipelines, and rejection of unsupported features."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("flowyml", reason="needs FlowyML: `make flowyml` has it")

import flowyml
from flowyml.core.conditional import ConditionalBranch
from flowyml.core.resources import GPUConfig, NodeAffinity, ResourceRequirements
from flowyml.core.retry_policy import OrchestratorRetryPolicy
from flowyml.stacks.components import ResourceConfig

from flowyml_aws.caching.fingerprint import fingerprint
from flowyml_aws.core.errors import InvalidPipelineError, SettingsError
from flowyml_aws.core.resources import GPUConfig as OurGPU
from flowyml_aws.core.resources import NodeAffinity as OurAffinity
from flowyml_aws.core.resources import ResourceRequirements as OurResources
from flowyml_aws.integrations.flowyml.adapter import pipeline_of
from flowyml_aws.integrations.flowyml.run_defaults import defaults_of
from flowyml_aws.pipeline import Pipeline
from flowyml_aws.runtime.flowyml_map_task import MapTask
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


class LoggedStep(flowyml.Step):  # type: ignore[misc]  # FlowyML ships no types
    """A class of steps with its own function and attributes."""

    def __init__(self, level: str, **options: Any) -> None:
        super().__init__(func=self.work, name="logged", **options)
        self.level = level

    def work(self, data: int) -> str:
        return f"{self.level}: {data}"


class CalledStep(flowyml.Step):  # type: ignore[misc]
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.func(*args, **kwargs)


def test_a_step_of_another_class_calls_its_function() -> None:
    declared = LoggedStep("debug", inputs=["data"], retry=2)
    (step,) = pipeline_of(flowyml.Pipeline("p").add_step(declared), ["data"]).steps
    assert (step.name, step.retry, step.notes) == ("logged", 2, ())
    assert step.func(data=3) == "debug: 3"


def test_the_attributes_of_a_step_of_another_class_are_part_of_its_code() -> None:
    def fingerprint_of(level: str, **options: Any) -> str:
        pipeline = flowyml.Pipeline("p").add_step(LoggedStep(level, **options))
        (step,) = pipeline_of(pipeline, ["data"]).steps
        return fingerprint(step)

    assert fingerprint_of("debug") == fingerprint_of("debug", retry=3, resources={"cpu": "2"})
    assert fingerprint_of("debug") != fingerprint_of("info")


def test_an_own_call_of_a_class_of_steps_is_ignored_as_by_flowyml_and_noted() -> None:
    (step,) = adapted(CalledStep(double), context=flowyml.context(data=3)).steps
    assert step.func is double
    assert step.notes == (
        "step 'double': its function is called, as by FlowyML, and not CalledStep.__call__",
    )


def test_a_map_task_takes_its_list_by_input_or_by_parameter_name() -> None:
    make = flowyml.step(outputs=["data"], name="make")(lambda: [1, 2])
    by_input = flowyml.map_task(inputs=["data"], name="a", retries=3, timeout=60)(lambda item: item)
    by_name = flowyml.map_task(name="b", timeout_per_item=5)(double)
    _, first, second = adapted(make, by_input, by_name).steps
    assert [first.inputs, second.inputs] == [("data",), ("data",)]
    assert first.timeout_s == 60
    assert first.func == MapTask(by_input.func, "a", retries=3)
    assert second.func([1, 2]).results == [2, 4]
    assert second.notes == ("step 'b': FlowyML ignores timeout_per_item, and so do jobs",)


@pytest.mark.parametrize(
    ("options", "items"),
    [
        ({}, [1, 2, 3]),
        ({}, []),
        ({}, 4),
        ({"min_success_ratio": 0.5}, [1, "two"]),
        ({"min_success_ratio": 0.9}, [1, "two"]),
        ({"min_success_ratio": 0.0, "concurrency": 1, "fail_fast": True}, ["one", "two"]),
        ({"min_success_ratio": 0.0, "retries": 1, "retry_delay": 0.0}, ["one", 2]),
    ],
)
def test_a_map_task_has_the_result_of_a_call_in_flowyml(options: Any, items: Any) -> None:
    def half(number: float) -> float:
        return number / 2

    def outcome(call: Any) -> Any:
        try:
            return call(items)
        except RuntimeError as error:
            return str(error)

    declared = flowyml.map_task(**options)(half)
    (step,) = pipeline_of(flowyml.Pipeline("p").add_step(declared), ["number"]).steps
    assert outcome(step.func) == outcome(declared)


def predicting(*outputs: str) -> Any:
    return flowyml.step(name="predict", outputs=[*outputs], register=False)(lambda: None)


@pytest.mark.parametrize(
    ("outputs", "external", "inputs"),
    [
        (["predictions", "targets"], [], ("predictions", "targets")),
        (["data", "predictions", "targets"], [], ("predictions", "targets")),
        (["data", "predictions"], [], ("data",)),
        (["predictions"], ["targets"], ("predictions", "targets")),
    ],
)
def test_an_evaluation_reads_the_assets_named_like_its_parameters(
    outputs: list[str], external: list[str], inputs: tuple[str, ...]
) -> None:
    evaluation = flowyml.EvalStep(scorers=[])
    pipeline = flowyml.Pipeline("p").add_steps([predicting(*outputs), evaluation])
    pipeline.build()
    step = pipeline_of(pipeline, external).steps[1]
    assert (step.name, step.func, step.inputs) == ("evaluation", evaluation, inputs)


def test_an_evaluation_without_data_is_rejected() -> None:
    pipeline = flowyml.Pipeline("p").add_steps([predicting("scores"), flowyml.EvalStep()])
    pipeline.build()
    assert "Step 'evaluation' (EvalStep) has no data" in rejection(pipeline)


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        (
            ResourceConfig(cpu="8", memory="32Gi"),
            OurResources(cpu="8", memory="32Gi", storage="10Gi"),
        ),
        (
            ResourceConfig(gpu="nvidia-tesla-t4", disk_size="50Gi", machine_type="ml.g4dn.xlarge"),
            OurResources(
                cpu="1",
                memory="2Gi",
                storage="50Gi",
                gpu=OurGPU("nvidia-tesla-t4"),
                node_affinity=OurAffinity({"node.kubernetes.io/instance-type": "g4dn.xlarge"}),
            ),
        ),
        (ResourceConfig(gpu="t4", gpu_count=4), OurResources("1", "2Gi", "10Gi", OurGPU("t4", 4))),
        (ResourceRequirements(cpu="4"), OurResources(cpu="4")),
        (OurResources(cpu="4"), OurResources(cpu="4")),
    ],
)
def test_resources_of_a_run_are_those_of_the_steps_that_declare_none(
    resources: Any, expected: OurResources
) -> None:
    declared = flowyml.step(name="small", resources={"cpu": "1"}, register=False)(double)
    pipeline = flowyml.Pipeline("p").add_steps([flowyml.step(double, register=False), declared])
    converted = pipeline_of(pipeline, ["data"], defaults=defaults_of(resources, None))
    assert [step.requirements() for step in converted.steps] == [expected, OurResources(cpu="1")]


def test_a_retry_policy_of_a_run_is_that_of_the_steps_that_declare_no_retries() -> None:
    policy = OrchestratorRetryPolicy(max_attempts=3, initial_delay=5)
    declared = flowyml.step(name="often", retry=9, register=False)(double)
    pipeline = flowyml.Pipeline("p").add_steps([flowyml.step(double, register=False), declared])
    converted = pipeline_of(pipeline, ["data"], defaults=defaults_of(None, policy))
    assert [(step.retry, step.retry_delay_s) for step in converted.steps] == [(2, 5.0), (9, 1.0)]


def test_steps_of_branches_and_sub_pipelines_have_the_defaults_of_a_run() -> None:
    def plain() -> None: ...

    def a_step(name: str) -> Any:
        return flowyml.step(name=name, outputs=[name], register=False)(lambda: 1)

    inner = flowyml.Pipeline("inner").add_step(a_step("first"))
    pipeline = flowyml.Pipeline("p").add_sub_pipeline(inner)
    pipeline.add_control_flow(flowyml.If(lambda first: first, a_step("second"), plain))
    defaults = defaults_of(OurResources(cpu="4"), OrchestratorRetryPolicy(max_attempts=3))
    steps = {step.name: step for step in pipeline_of(pipeline, defaults=defaults).all_steps}
    for name in ("sub:inner/first", "second", "plain"):
        assert (steps[name].resources, steps[name].retry) == (OurResources(cpu="4"), 2)


@pytest.mark.parametrize(
    ("resources", "policy", "words"),
    [
        ("large", None, "Invalid argument resources='large'"),
        (None, 3, "Invalid argument retry_policy=3"),
        (None, OrchestratorRetryPolicy(max_attempts=0), "max_attempts=0 is not supported"),
        (None, OrchestratorRetryPolicy(multiplier=3), "multiplier=3 is not supported"),
        (
            None,
            OrchestratorRetryPolicy(retry_on_status=["FAILED", "STOPPED"]),
            r"retry_on_status=\['FAILED', 'STOPPED'\] is not supported",
        ),
    ],
)
def test_arguments_of_a_run_that_steps_cannot_have_are_an_error_that_names_them(
    resources: Any, policy: Any, words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        defaults_of(resources, policy)


def approval_step() -> Any:
    return flowyml.ApprovalStep(lambda data: data)


def test_a_function_that_is_not_a_step_is_rejected_by_name() -> None:
    report = rejection(flowyml.Pipeline("p").add_step(double))
    assert all(word in report for word in ("(function) is not supported on AWS", "@step")), report


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
    pipeline = flowyml.Pipeline("p").add_steps([double, approval_step()])
    pipeline.add_control_flow(ConditionalBranch())
    report = rejection(pipeline)
    assert all(
        word in report for word in ("(function)", "Approval '<lambda>'", "ConditionalBranch")
    )


def test_a_rejected_pipeline_is_not_submitted(local_project: BackendRig) -> None:
    make = flowyml.step(outputs=["data"], cache=lambda inputs, params: "")(lambda: [1])
    pipeline = flowyml.Pipeline("p").add_step(make)
    with pytest.raises(InvalidPipelineError):
        pipeline.run()
    assert not (local_project.folder / ".flowyml" / "aws").exists()
