from __future__ import annotations

from typing import Any

import pytest

from flowyml_aws import If, Pipeline, ResourceRequirements, dynamic, step
from flowyml_aws.core.step import Step


@dynamic(outputs=["model"], execution_group="g")
def search() -> str:
    return "a value"


@step(outputs=["data"], execution_group="g")
def load() -> int:
    return 1


@step(inputs=["model"], execution_group="g")
def report(model: int) -> int:
    return model


def problems(declared: Step) -> str:
    return "\n".join(problem.what for problem in declared.problems())


def test_a_dynamic_step_can_be_called_like_its_function() -> None:
    assert search() == "a value"


def test_a_dynamic_step_is_never_cached_and_has_a_depth() -> None:
    @dynamic
    def plain() -> None: ...

    assert (plain.name, plain.cache, plain.max_depth) == ("plain", False, 3)


@pytest.mark.parametrize("depth", [0, -1, True, 1.5, "2"])
def test_an_invalid_depth_is_a_mistake(depth: Any) -> None:
    declared = dynamic(max_depth=depth)(lambda: None)
    assert f"Invalid argument max_depth={depth!r}" in problems(declared)


def test_a_dynamic_step_can_not_be_mapped() -> None:
    assert "Dynamic step 'search' is mapped" in problems(search.map(over="items"))


def test_a_dynamic_step_can_not_have_several_nodes() -> None:
    on_nodes = dynamic(resources=ResourceRequirements(nodes=2))(lambda: None)
    assert "has several nodes or processes" in problems(on_nodes)


def test_a_dynamic_step_is_the_last_one_of_its_job() -> None:
    groups = Pipeline("p").add_steps([load, search, report]).step_groups
    assert [group.execution_order for group in groups] == [["load", "search"], ["report"]]


def test_a_decision_about_the_outputs_is_not_made_in_the_job_of_the_dynamic_step() -> None:
    pipeline = Pipeline("p").add_step(search)
    pipeline.add_control_flow(If(lambda model: model > 1, report, name="good"))
    jobs = [job.steps for job in pipeline.plan(backend="local").jobs]
    assert jobs[0] == ("search",)
    assert jobs[1] == ("if:good", "report")
