"""FlowyML's sub-pipelines: their steps become steps of the pipeline."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("flowyml", reason="needs FlowyML: `make flowyml` has it")

import flowyml

from flowyml_aws.core.errors import InvalidPipelineError
from flowyml_aws.core.inlining import inline
from flowyml_aws.core.step import Step
from flowyml_aws.integrations.flowyml import FlowymlAws
from flowyml_aws.integrations.flowyml.adapter import pipeline_of
from tests.support.rigs import BackendRig

pytestmark = pytest.mark.system


def step(**options: Any) -> Any:
    return flowyml.step(register=False, **options)


@step(outputs=["raw"])
def load(bad: bool) -> list[int]:
    return [] if bad else [1, 2]


@step(outputs=["rows"])  # FlowyML passes `raw` by its name, without a declared input
def clean(raw: list[int], limit: int) -> list[int]:
    return [1 // len(raw), *(value for value in raw if value < limit)]


@step(inputs=["rows"], outputs=["total"])
def add(rows: list[int]) -> int:
    return sum(rows)


@step(inputs=["total"], outputs=["model"])
def train(total: int) -> int:
    return total * 10


def child() -> Any:
    context = flowyml.context(limit=2)
    return flowyml.Pipeline("prepare", context=context).add_steps([clean, add])


def parent(bad: bool = False, **options: Any) -> Any:
    pipeline = flowyml.Pipeline("whole", context=flowyml.context(bad=bad)).add_step(load)
    return pipeline.add_sub_pipeline(child(), **{"inputs": ["raw"], **options}).add_step(train)


def converted(pipeline: Any) -> dict[str, Step]:
    made = pipeline_of(pipeline)
    made.build()
    return {each.name: each for each in inline(made).steps}


def test_a_run_has_the_outcome_of_the_sub_pipeline_and_of_its_steps(
    local_project: BackendRig,
) -> None:
    pipeline = parent()
    result = pipeline.run(orchestrator=FlowymlAws(backend="local", progress=False))
    assert result.success
    assert (result["total"], result["model"]) == (1, 10) == (result.outputs["total"], 10)
    whole = result.step_results["sub:prepare"]
    assert (whole.success, whole.cached, whole.output) == (True, False, {"total": 1})
    assert result.step_results["sub:prepare/add"].output == 1
    recorded = pipeline.metadata_store.load_run(result.run_id)
    assert recorded["steps"]["sub:prepare"]["success"] is True

    failed = parent(bad=True).run(orchestrator=FlowymlAws(backend="local", progress=False))
    assert not failed.success
    assert not failed.step_results["sub:prepare"].success
    assert "ZeroDivisionError" in failed.step_results["sub:prepare"].error


def test_inputs_and_outputs_are_connected_as_in_flowyml() -> None:
    steps = converted(parent())
    assert steps["sub:prepare/clean"].inputs == ("raw",)
    assert steps["sub:prepare/add"].outputs == steps["train"].inputs == ("total",)
    # FlowyML's documentation maps the name of a step.
    mapped = parent(
        name="prepare",
        inputs=["data"],
        input_mapping={"data": "raw"},
        output_mapping={"add": "total"},
    )
    mapped.steps[0] = step(name="load", outputs=["data"])(lambda: [1])
    assert converted(mapped)["prepare/clean"].inputs == ("data",)
    assert converted(mapped)["prepare/add"].outputs == ("total",)


def test_the_first_steps_wait_for_an_input_that_no_step_reads() -> None:
    pipeline = flowyml.Pipeline("whole").add_step(step(name="go")(lambda: None))
    first, second = step(name="first")(lambda: 1), step(name="second", inputs=["first"])
    sub = flowyml.Pipeline("sub", enable_cache=False)
    sub.add_steps([first, second(lambda first: first)])
    steps = converted(pipeline.add_sub_pipeline(sub, inputs=["go"]))
    assert steps["sub:sub/first"].after == ("go",)
    assert steps["sub:sub/second"].after == ()
    assert steps["sub:sub/first"].cache is False


def test_what_only_a_step_can_have_and_mistakes_inside_are_in_one_report() -> None:
    pipeline = parent(retry=2)
    pipeline.steps[1].sub_pipeline.add_step(clean.func)
    with pytest.raises(InvalidPipelineError) as error:
        pipeline_of(pipeline)
    mistakes = [problem.what for problem in error.value.problems]
    assert mistakes == [
        "Sub-pipeline 'sub:prepare': retry=2 is not supported",
        "Step 'clean' (function) is not supported on AWS",
    ]
