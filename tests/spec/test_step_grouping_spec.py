"""Every code block of the specification of step grouping, executed.

The code is the specification's but for the name of the package; what it leaves undefined is
supplied. Steps of one block are in one test, since blocks repeat names.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from flowyml_aws import Pipeline, PipelineResult, Step, step
from flowyml_aws.core.resources import GPUConfig, ResourceRequirements

pytestmark = pytest.mark.contract


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where pipelines run: nothing is left in the repository."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLOWYML_AWS_LOCAL_STORE", str(tmp_path / "store"))
    return tmp_path


def run(pipeline: Pipeline) -> PipelineResult:
    result = pipeline.run(progress=False)
    assert result.success, result.summary()
    return result


def of(*steps: Step) -> Pipeline:
    return Pipeline("spec").add_steps(steps).build()


def groups_of(pipeline: Pipeline) -> dict[str, list[str]]:
    return {group.group_name: group.execution_order for group in pipeline.step_groups}


def jobs_of(result: PipelineResult) -> list[tuple[str, ...]]:
    """Steps of each job that ran."""
    return [view.job.steps for view in result.status.jobs]


def test_quick_start() -> None:
    # Define steps with the same execution_group
    @step(outputs=["raw_data"], execution_group="preprocessing")
    def load_data():
        return {"records": 1000}

    @step(inputs=["raw_data"], outputs=["clean_data"], execution_group="preprocessing")
    def clean_data(raw_data: dict):
        return {**raw_data, "status": "cleaned"}

    @step(inputs=["clean_data"], outputs=["features"], execution_group="preprocessing")
    def extract_features(clean_data: dict):
        return {**clean_data, "features": ["f1", "f2", "f3"]}

    # Create and run pipeline
    pipeline = Pipeline("data_pipeline")
    pipeline.add_step(load_data)
    pipeline.add_step(clean_data)
    pipeline.add_step(extract_features)

    # All three steps run in the same container
    result = pipeline.run(progress=False)

    assert result.success
    assert jobs_of(result) == [("load_data", "clean_data", "extract_features")]
    assert groups_of(pipeline) == {"preprocessing": ["load_data", "clean_data", "extract_features"]}
    assert result.outputs["features"] == {
        "records": 1000,
        "status": "cleaned",
        "features": ["f1", "f2", "f3"],
    }
    # What only its own group reads has passed from step to step and is stored nowhere.
    assert set(result.outputs) == {"features", "extract_features"}


def test_define_groups() -> None:
    @step(outputs=["data"], execution_group="my_group")
    def step_1():
        return "data"

    @step(inputs=["data"], outputs=["result"], execution_group="my_group")
    def step_2(data: str):
        return f"{data}_processed"

    pipeline = of(step_1, step_2)
    assert groups_of(pipeline) == {"my_group": ["step_1", "step_2"]}
    assert run(pipeline)["result"] == "data_processed"


def steps_with_resources() -> tuple[Step, Step]:
    @step(
        outputs=["data"],
        execution_group="training",
        resources=ResourceRequirements(cpu="2", memory="4Gi"),
    )
    def prepare_data():
        return "data"

    @step(
        inputs=["data"],
        outputs=["model"],
        execution_group="training",
        resources=ResourceRequirements(
            cpu="8", memory="16Gi", gpu=GPUConfig(gpu_type="nvidia-v100", count=2)
        ),
    )
    def train_model(data: str):
        return "model"

    return prepare_data, train_model


def test_resource_aggregation() -> None:
    pipeline = of(*steps_with_resources())
    (group,) = pipeline.step_groups

    # Group resources: cpu="8", memory="16Gi", gpu=V100 x2
    resources = group.aggregated_resources
    assert resources is not None
    assert resources.cpu == "8"
    assert resources.memory == "16Gi"
    assert resources.gpu is not None
    assert (resources.gpu.gpu_type, resources.gpu.count) == ("nvidia-v100", 2)
    assert run(pipeline)["model"] == "model"


def consecutive_steps() -> tuple[Step, Step, Step]:
    # A → B → C (all in same group) ✅ Grouped together
    @step(outputs=["a"], execution_group="proc")
    def step_a():
        return 1

    @step(inputs=["a"], outputs=["b"], execution_group="proc")
    def step_b(a):
        return a + 1

    @step(inputs=["b"], outputs=["c"], execution_group="proc")
    def step_c(b):
        return b + 1

    return step_a, step_b, step_c


def test_consecutive_steps_are_grouped() -> None:
    pipeline = of(*consecutive_steps())
    assert groups_of(pipeline) == {"proc": ["step_a", "step_b", "step_c"]}
    result = run(pipeline)
    assert jobs_of(result) == [("step_a", "step_b", "step_c")]
    assert dict(result.outputs) == {"c": 3, "step_c": 3}


def test_non_consecutive_steps_are_split() -> None:
    # A (group1) → X (no group) → B (group1)
    # Result: A and B run separately (not consecutive)

    @step(outputs=["a"], execution_group="group1")
    def step_a():
        return 1

    @step(outputs=["x"])  # Different group
    def step_x():
        return 100

    @step(inputs=["x"], outputs=["b"], execution_group="group1")
    def step_b(x):
        return x + 1

    pipeline = of(step_a, step_x, step_b)
    assert groups_of(pipeline) == {"group1_0": ["step_a"], "group1_1": ["step_b"]}
    result = run(pipeline)
    assert jobs_of(result) == [("step_a",), ("step_x",), ("step_b",)]
    assert [result[asset] for asset in ("a", "x", "b")] == [1, 100, 101]


def test_steps_of_a_group_share_a_process_and_parts_of_a_split_one_do_not() -> None:
    @step(outputs=["a"], execution_group="group1")
    def step_a():
        return [os.getpid()]

    @step(inputs=["a"], outputs=["x"])
    def step_x(a):
        return [*a, os.getpid()]

    @step(inputs=["x"], outputs=["b"], execution_group="group1")
    def step_b(x):
        return [*x, os.getpid()]

    @step(inputs=["b"], outputs=["c"], execution_group="group1")
    def step_c(b):
        return [*b, os.getpid()]

    of_a, of_x, of_b, of_c = run(of(step_a, step_x, step_b, step_c))["c"]
    assert len({os.getpid(), of_a, of_x, of_b}) == 4
    assert of_b == of_c


def test_mixed_grouped_and_ungrouped_steps() -> None:
    # Some steps grouped, others standalone
    @step(outputs=["config"])  # Standalone
    def load_config():
        return {"batch_size": 32}

    @step(inputs=["config"], outputs=["data"], execution_group="prep")
    def fetch_data(config):
        return "data"

    @step(inputs=["data"], outputs=["processed"], execution_group="prep")
    def process_data(data):
        return "processed"

    @step(inputs=["processed"], outputs=["deployed"])  # Standalone
    def deploy(processed):
        return "deployed"

    pipeline = of(load_config, fetch_data, process_data, deploy)
    assert groups_of(pipeline) == {"prep": ["fetch_data", "process_data"]}
    result = run(pipeline)
    assert jobs_of(result) == [("load_config",), ("fetch_data", "process_data"), ("deploy",)]
    assert result["config"] == {"batch_size": 32}
    assert (result["processed"], result["deployed"]) == ("processed", "deployed")
    assert "data" not in result.outputs


def test_do_group_logically_related_steps() -> None:
    # Good: Logically related preprocessing steps
    @step(outputs=["raw"], execution_group="preprocessing")
    def load(): ...

    @step(inputs=["raw"], outputs=["clean"], execution_group="preprocessing")
    def clean(): ...

    @step(inputs=["clean"], outputs=["features"], execution_group="preprocessing")
    def extract(): ...

    pipeline = of(load, clean, extract)
    assert groups_of(pipeline) == {"preprocessing": ["load", "clean", "extract"]}
    assert run(pipeline)["features"] is None


def test_dont_group_unrelated_steps() -> None:
    # Bad: Unrelated steps that could run in parallel
    @step(outputs=["data1"], execution_group="bad_group")
    def load_dataset_a(): ...

    @step(outputs=["data2"], execution_group="bad_group")  # Independent!
    def load_dataset_b(): ...

    pipeline = of(load_dataset_a, load_dataset_b)
    assert groups_of(pipeline) == {"bad_group": ["load_dataset_a", "load_dataset_b"]}
    (job,) = pipeline.plan().jobs
    assert any("parallel" in note for note in job.notes)
    assert set(run(pipeline).outputs) >= {"data1", "data2"}


def test_do_use_for_cost_optimization() -> None:
    # Good: Multiple lightweight steps share expensive GPU instance
    @step(
        outputs=["data"],
        execution_group="gpu_tasks",
        resources=ResourceRequirements(gpu=GPUConfig("nvidia-a100", count=1)),
    )
    def prepare_on_gpu(): ...

    @step(inputs=["data"], outputs=["result"], execution_group="gpu_tasks")
    def inference_on_gpu(data): ...

    pipeline = of(prepare_on_gpu, inference_on_gpu)

    # Both steps reuse the same A100 instance
    (job,) = pipeline.plan(backend="batch").jobs
    assert job.steps == ("prepare_on_gpu", "inference_on_gpu")
    assert job.offers[0].instance_type.startswith("p4d")
    (group,) = pipeline.step_groups
    assert group.aggregated_resources == ResourceRequirements(gpu=GPUConfig("nvidia-a100", 1))
    assert run(pipeline)["result"] is None


def inspect(steps: Sequence[Step]) -> None:
    pipeline = Pipeline("my_pipeline")
    for made in steps:
        pipeline.add_step(made)
    pipeline.build()

    # Check groups
    print(f"Number of groups: {len(pipeline.step_groups)}")

    for group in pipeline.step_groups:
        print(f"\nGroup: {group.group_name}")
        print(f"  Steps: {[s.name for s in group.steps]}")
        print(f"  Execution order: {group.execution_order}")
        if group.aggregated_resources:
            print(f"  CPU: {group.aggregated_resources.cpu}")
            print(f"  Memory: {group.aggregated_resources.memory}")
            if group.aggregated_resources.gpu:
                print(
                    f"  GPU: {group.aggregated_resources.gpu.count}x "
                    f"{group.aggregated_resources.gpu.gpu_type}"
                )


def test_inspecting_groups(capsys: pytest.CaptureFixture[str]) -> None:
    inspect(consecutive_steps())
    assert capsys.readouterr().out == (
        "Number of groups: 1\n"
        "\n"
        "Group: proc\n"
        "  Steps: ['step_a', 'step_b', 'step_c']\n"
        "  Execution order: ['step_a', 'step_b', 'step_c']\n"
    )


def test_inspecting_groups_with_resources(capsys: pytest.CaptureFixture[str]) -> None:
    inspect(steps_with_resources())
    assert capsys.readouterr().out == (
        "Number of groups: 1\n"
        "\n"
        "Group: training\n"
        "  Steps: ['prepare_data', 'train_model']\n"
        "  Execution order: ['prepare_data', 'train_model']\n"
        "  CPU: 8\n"
        "  Memory: 16Gi\n"
        "  GPU: 2x nvidia-v100\n"
    )


def test_example_1_data_pipeline(folder: Path) -> None:
    warehouse = folder / "warehouse.txt"

    def fetch_from_source():
        return ["a", "b"]

    def apply_transformations(raw):
        return [text.upper() for text in raw]

    def save_to_warehouse(transformed):
        warehouse.write_text("\n".join(transformed))

    @step(outputs=["raw"], execution_group="etl")
    def extract():
        return fetch_from_source()

    @step(inputs=["raw"], outputs=["transformed"], execution_group="etl")
    def transform(raw):
        return apply_transformations(raw)

    @step(inputs=["transformed"], outputs=["loaded"], execution_group="etl")
    def load(transformed):
        save_to_warehouse(transformed)
        return "success"

    pipeline = of(extract, transform, load)
    assert groups_of(pipeline) == {"etl": ["extract", "transform", "load"]}
    assert run(pipeline)["loaded"] == "success"
    assert warehouse.read_text() == "A\nB"


def test_example_2_ml_training_pipeline() -> None:
    def load_and_preprocess():
        return [1, 2, 3]

    def train(dataset, epochs):
        return {"weights": sum(dataset), "epochs": epochs}

    def evaluate(model):
        return {"accuracy": model["weights"] / model["epochs"]}

    @step(
        outputs=["dataset"],
        execution_group="training",
        resources=ResourceRequirements(cpu="4", memory="8Gi"),
    )
    def prepare_dataset():
        return load_and_preprocess()

    @step(
        inputs=["dataset"],
        outputs=["model"],
        execution_group="training",
        resources=ResourceRequirements(
            cpu="8", memory="32Gi", gpu=GPUConfig("nvidia-a100", count=2)
        ),
    )
    def train_model(dataset):
        return train(dataset, epochs=100)

    @step(
        inputs=["model"],
        outputs=["metrics"],
        execution_group="training",
        resources=ResourceRequirements(cpu="2", memory="4Gi"),
    )
    def evaluate_model(model):
        return evaluate(model)

    pipeline = of(prepare_dataset, train_model, evaluate_model)

    # Entire training workflow runs in one A100 instance
    # Resources: cpu="8", memory="32Gi", gpu=2x A100
    (group,) = pipeline.step_groups
    assert group.execution_order == ["prepare_dataset", "train_model", "evaluate_model"]
    assert group.aggregated_resources == ResourceRequirements(
        cpu="8", memory="32Gi", gpu=GPUConfig("nvidia-a100", count=2)
    )
    result = run(pipeline)
    assert len(jobs_of(result)) == 1
    assert result["metrics"] == {"accuracy": 0.06}
