"""The code blocks of the specification of step grouping, verbatim.

They are strings, so that no formatter changes them and each can run as a separate script.
"""

from __future__ import annotations

__all__ = ["BLOCKS", "PRELUDE", "SUPPLIED"]

PRELUDE = """\
from flowyml import step, Pipeline
from flowyml.core.resources import ResourceRequirements, GPUConfig
"""

BLOCKS = {
    "quick start": """\
from flowyml import step, Pipeline
from flowyml.core.resources import ResourceRequirements, GPUConfig

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
result = pipeline.run()
""",
    "define groups": """\
@step(outputs=["data"], execution_group="my_group")
def step_1():
    return "data"

@step(inputs=["data"], outputs=["result"], execution_group="my_group")
def step_2(data: str):
    return f"{data}_processed"
""",
    "resource aggregation": """\
@step(
    outputs=["data"],
    execution_group="training",
    resources=ResourceRequirements(cpu="2", memory="4Gi")
)
def prepare_data():
    return "data"

@step(
    inputs=["data"],
    outputs=["model"],
    execution_group="training",
    resources=ResourceRequirements(
        cpu="8",
        memory="16Gi",
        gpu=GPUConfig(gpu_type="nvidia-v100", count=2)
    )
)
def train_model(data: str):
    return "model"

# Group resources: cpu="8", memory="16Gi", gpu=V100 x2
""",
    "consecutive": """\
# A → B → C (all in same group) ✅ Grouped together
@step(outputs=["a"], execution_group="proc")
def step_a(): return 1

@step(inputs=["a"], outputs=["b"], execution_group="proc")
def step_b(a): return a + 1

@step(inputs=["b"], outputs=["c"], execution_group="proc")
def step_c(b): return b + 1
""",
    "non-consecutive": """\
# A (group1) → X (no group) → B (group1)
# Result: A and B run separately (not consecutive)

@step(outputs=["a"], execution_group="group1")
def step_a(): return 1

@step(outputs=["x"])  # Different group
def step_x(): return 100

@step(inputs=["x"], outputs=["b"], execution_group="group1")
def step_b(x): return x + 1
""",
    "mixed": """\
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
""",
    "related": """\
# Good: Logically related preprocessing steps
@step(outputs=["raw"], execution_group="preprocessing")
def load(): ...

@step(inputs=["raw"], outputs=["clean"], execution_group="preprocessing")
def clean(): ...

@step(inputs=["clean"], outputs=["features"], execution_group="preprocessing")
def extract(): ...
""",
    "unrelated": """\
# Bad: Unrelated steps that could run in parallel
@step(outputs=["data1"], execution_group="bad_group")
def load_dataset_a(): ...

@step(outputs=["data2"], execution_group="bad_group")  # Independent!
def load_dataset_b(): ...
""",
    "cost optimization": """\
# Good: Multiple lightweight steps share expensive GPU instance
@step(outputs=["data"], execution_group="gpu_tasks",
      resources=ResourceRequirements(gpu=GPUConfig("nvidia-a100", count=1)))
def prepare_on_gpu(): ...

@step(inputs=["data"], outputs=["result"], execution_group="gpu_tasks")
def inference_on_gpu(data): ...

# Both steps reuse the same A100 instance
""",
    "inspecting": """\
pipeline = Pipeline("my_pipeline")
pipeline.add_step(step_a)
pipeline.add_step(step_b)
pipeline.add_step(step_c)
pipeline.build()

# Check groups
print(f"Number of groups: {len(pipeline.step_groups)}")

for group in pipeline.step_groups:
    print(f"\\nGroup: {group.group_name}")
    print(f"  Steps: {[s.name for s in group.steps]}")
    print(f"  Execution order: {group.execution_order}")
    if group.aggregated_resources:
        print(f"  CPU: {group.aggregated_resources.cpu}")
        print(f"  Memory: {group.aggregated_resources.memory}")
        if group.aggregated_resources.gpu:
            print(f"  GPU: {group.aggregated_resources.gpu.count}x {group.aggregated_resources.gpu.gpu_type}")
""",
    "example 1": """\
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
""",
    "example 2": """\
@step(
    outputs=["dataset"],
    execution_group="training",
    resources=ResourceRequirements(cpu="4", memory="8Gi")
)
def prepare_dataset():
    return load_and_preprocess()

@step(
    inputs=["dataset"],
    outputs=["model"],
    execution_group="training",
    resources=ResourceRequirements(
        cpu="8",
        memory="32Gi",
        gpu=GPUConfig("nvidia-a100", count=2)
    )
)
def train_model(dataset):
    return train(dataset, epochs=100)

@step(
    inputs=["model"],
    outputs=["metrics"],
    execution_group="training",
    resources=ResourceRequirements(cpu="2", memory="4Gi")
)
def evaluate_model(model):
    return evaluate(model)

# Entire training workflow runs in one A100 instance
# Resources: cpu="8", memory="32Gi", gpu=2x A100
""",
}

# Functions that the examples of the specification use but do not define.
SUPPLIED = {
    "example 1": """\
def fetch_from_source(): return [3, 1]
def apply_transformations(raw): return sorted(raw)
def save_to_warehouse(transformed): assert transformed == [1, 3]
""",
    "example 2": """\
def load_and_preprocess(): return [1.0, 2.0]
def train(dataset, epochs): return sum(dataset) * epochs
def evaluate(model): return {"score": model}
""",
}
