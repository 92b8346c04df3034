from __future__ import annotations

from typing import Any

import pytest

from flowyml_aws import Auto, Pipeline, ResourceRequirements, step
from flowyml_aws.core.auto_resources import declared_minimum, is_auto
from flowyml_aws.core.errors import InvalidPipelineError, InvalidResourcesError


@pytest.mark.parametrize("declared", ["auto", Auto(), Auto(minimum={"cpu": 2})])
def test_the_string_and_the_class_are_automatic(declared: Any) -> None:
    assert is_auto(declared)


@pytest.mark.parametrize("declared", [None, {"cpu": 2}, ResourceRequirements(cpu=2), "atuo"])
def test_everything_else_is_not(declared: Any) -> None:
    assert not is_auto(declared)


def test_the_minimum_of_automatic_resources_is_what_a_step_declares() -> None:
    assert declared_minimum("auto") is None
    assert declared_minimum(Auto()) is None
    requirements = ResourceRequirements(cpu=2)
    assert declared_minimum(Auto({"cpu": 2})) == declared_minimum(requirements) == requirements


@pytest.mark.parametrize(
    ("declared", "fix"), [("atuo", "did you mean 'auto'"), ("8Gi", 'resources="auto"')]
)
def test_another_string_is_an_error_with_the_nearest_name(declared: Any, fix: str) -> None:
    with pytest.raises(InvalidResourcesError, match=f"{declared!r}") as caught:
        declared_minimum(declared)
    assert fix in caught.value.fix


@pytest.mark.parametrize("minimum", [{"cpus": 2}, {"memory": "8Gib"}, "8Gi"])
def test_a_mistake_in_a_minimum_is_found_when_the_pipeline_is_built(minimum: Any) -> None:
    train = step(name="train", resources=Auto(minimum=minimum))(lambda: 1)
    with pytest.raises(InvalidPipelineError, match="Step 'train'"):
        Pipeline("p").add_step(train).build()


def test_a_group_of_automatic_steps_aggregates_their_minimums() -> None:
    pipeline = Pipeline("p")
    for name, resources in (("a", "auto"), ("b", Auto({"cpu": 2})), ("c", {"memory": "4Gi"})):
        pipeline.add_step(step(name=name, resources=resources, execution_group="g")(lambda: 1))  # type: ignore[arg-type]
    (group,) = pipeline.step_groups
    assert group.aggregated_resources == ResourceRequirements(cpu=2, memory="4Gi")


def test_a_notebook_shows_automatic_resources() -> None:
    pipeline = Pipeline("p")
    for name, resources in (("a", "auto"), ("b", Auto({"cpu": 2}))):
        pipeline.add_step(step(name=name, resources=resources)(lambda: 1))  # type: ignore[arg-type]
    (sheet,) = pipeline._sheets()
    assert [row[-1] for row in sheet.rows] == ["auto", "auto, at least cpu: 2"]
