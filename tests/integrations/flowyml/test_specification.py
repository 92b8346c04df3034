"""The specification's code blocks, verbatim, with the real FlowyML."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.integrations.flowyml.specification import BLOCKS, PRELUDE, SUPPLIED

pytest.importorskip("flowyml", reason="needs FlowyML: `make flowyml` has it")

from flowyml_aws.client.run import Run
from flowyml_aws.planning.plan import ExecutionPlan

pytestmark = pytest.mark.system

RUN = """
import flowyml
pipeline = Pipeline("spec").add_steps(list(flowyml.get_registered_steps()))
result = pipeline.run()
"""


@pytest.fixture
def run_block(script: Callable[[str], dict[str, Any]]) -> Callable[[str], Any]:
    def run(name: str) -> Any:
        source = BLOCKS[name]
        if "pipeline.run()" not in source:
            source = f"{PRELUDE}{SUPPLIED.get(name, '')}{source}{RUN}"
        result = script(source)["result"]
        assert result.success, result.summary()
        return result

    return run


def plan_of(result: Any) -> ExecutionPlan:
    return Run.attach(result.remote_job_id).plan


def jobs_of(result: Any) -> list[tuple[str, ...]]:
    return [job.steps for job in plan_of(result).jobs]


def test_the_quick_start_runs_in_one_job(run_block: Callable[[str], Any]) -> None:
    result = run_block("quick start")
    assert jobs_of(result) == [("load_data", "clean_data", "extract_features")]
    assert result["features"] == {
        "records": 1000,
        "status": "cleaned",
        "features": ["f1", "f2", "f3"],
    }


@pytest.mark.parametrize(
    ("name", "jobs", "outputs"),
    [
        ("define groups", [("step_1", "step_2")], {"result": "data_processed"}),
        ("consecutive", [("step_a", "step_b", "step_c")], {"c": 3}),
        (
            "non-consecutive",
            [("step_a",), ("step_x",), ("step_b",)],
            {"a": 1, "x": 100, "b": 101},
        ),
        (
            "mixed",
            [("load_config",), ("fetch_data", "process_data"), ("deploy",)],
            {"deployed": "deployed"},
        ),
        ("unrelated", [("load_dataset_a", "load_dataset_b")], {"data1": None}),
        ("example 1", [("extract", "transform", "load")], {"loaded": "success"}),
    ],
)
def test_each_group_is_one_job(
    name: str,
    jobs: list[tuple[str, ...]],
    outputs: dict[str, Any],
    run_block: Callable[[str], Any],
) -> None:
    result = run_block(name)
    assert jobs_of(result) == jobs
    assert {asset: result[asset] for asset in outputs} == outputs


@pytest.mark.parametrize(
    ("name", "vcpus", "memory_mib", "gpu", "count", "outputs"),
    [
        ("resource aggregation", 8, 16 * 1024, "v100", 2, {"model": "model"}),
        ("cost optimization", None, None, "a100", 1, {"result": None}),
        ("example 2", 8, 32 * 1024, "a100", 2, {"metrics": {"score": 300.0}}),
    ],
)
def test_a_job_has_the_aggregated_resources_of_its_group(
    name: str,
    vcpus: int | None,
    memory_mib: int | None,
    gpu: str,
    count: int,
    outputs: dict[str, Any],
    run_block: Callable[[str], Any],
) -> None:
    result = run_block(name)
    (job,) = plan_of(result).jobs
    assert gpu in str(job.needs.gpu_model).lower()
    assert job.needs.gpu_count == count
    if vcpus is not None:
        assert (job.needs.vcpus, job.needs.memory_mib) == (vcpus, memory_mib)
    assert {asset: result[asset] for asset in outputs} == outputs


def test_functions_may_ignore_their_inputs(run_block: Callable[[str], Any]) -> None:
    result = run_block("related")
    assert jobs_of(result) == [("load", "clean", "extract")]
    assert result["features"] is None


@pytest.mark.parametrize("backend", ["local"])
def test_groups_of_a_built_pipeline_can_be_inspected(
    script: Callable[[str], dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    script(PRELUDE + BLOCKS["consecutive"] + BLOCKS["inspecting"])
    output = capsys.readouterr().out
    assert "Number of groups: 1" in output
    assert "Execution order: ['step_a', 'step_b', 'step_c']" in output
