"""Decisions that the client makes, because their inputs are known before the run."""

from __future__ import annotations

from typing import Any

import pytest

from flowyml_aws import If, Pipeline, Step, Switch, step
from flowyml_aws.client.request import RunRequest
from flowyml_aws.core.build import BuiltPipeline


def a_step(name: str, *inputs: str) -> Step:
    return step(name=name, inputs=inputs)(lambda *values: None)


def built(flow: Any, declared: Any = None, **options: Any) -> tuple[BuiltPipeline, list[str]]:
    pipeline = Pipeline("p", declared).add_step(a_step("evaluate")).add_control_flow(flow)
    request: RunRequest = pipeline.request(options)  # type: ignore[arg-type]
    made, problems = request.build()
    assert made is not None
    return made, [str(problem) for problem in problems]


def test_a_condition_on_the_context_is_decided_before_the_run() -> None:
    flow = If(lambda ctx: ctx.params["rows"] > 10, a_step("large"), a_step("small"))
    made, problems = built(flow, {"rows": 100})
    assert made.cases == {"if:large": "then"}
    assert [each.name for each in made.graph.steps] == ["evaluate", "large", "small"]
    assert [group.execution_order for group in made.groups] == [["evaluate"], ["large"], ["small"]]
    assert problems == []


def test_the_context_of_the_run_decides() -> None:
    flow = If(lambda rows: rows > 10, a_step("large"))
    assert built(flow, {"rows": 100}, context={"rows": 1})[0].cases == {"if:large": "else"}


def test_an_external_input_decides_if_its_value_is_known() -> None:
    flow = Switch(lambda kind: kind).case("image", a_step("images"))
    assert built(flow, inputs={"kind": "image"})[0].cases == {"switch:images": "image"}
    made, _ = built(flow, inputs=["kind"])
    assert made.cases == {}
    assert "switch:images" in {each.name for each in made.graph.steps}


def test_a_condition_that_can_wait_is_awaited() -> None:
    async def is_large(rows: int) -> bool:
        return rows > 10

    assert built(If(is_large, a_step("large")), {"rows": 1})[0].cases == {"if:large": "else"}


def test_a_condition_that_fails_on_the_client_is_a_mistake() -> None:
    flow = If(lambda rows: rows["count"] > 1, a_step("large"))
    _, (problem,) = built(flow, {"rows": 3})
    assert "The condition of 'if:large' failed" in problem
    assert "TypeError: 'int' object is not subscriptable" in problem


@pytest.mark.parametrize("condition", [lambda evaluate: evaluate, lambda unknown: unknown])
def test_a_condition_without_all_its_values_is_not_called(condition: Any) -> None:
    made, problems = built(If(condition, a_step("deploy")))
    assert made.cases == {}
    assert problems == []


@pytest.mark.parametrize(("rows", "is_refused"), [([], True), ([1], False)])
def test_an_empty_map_in_a_branch_that_may_not_be_taken_is_refused(
    rows: list[int], is_refused: bool
) -> None:
    """Its reader could not see whether the branch was taken."""
    squares = step(name="squares", outputs=["squares"])(lambda rows: rows).map(over="rows")
    flow = If(lambda evaluate: evaluate, squares)
    pipeline = Pipeline("p", {"rows": rows}).add_step(a_step("evaluate")).add_control_flow(flow)
    pipeline.add_step(a_step("total", "squares"))
    _, problems = pipeline.request({}).build()
    assert ["over an empty list in a branch" in str(each) for each in problems] == [
        True
    ] * is_refused


def test_an_empty_map_in_the_branch_that_is_taken_gives_an_empty_list() -> None:
    squares = step(name="squares", outputs=["squares"])(lambda rows: rows).map(over="rows")
    pipeline = Pipeline("p", {"rows": [], "go": True}).add_control_flow(If(lambda go: go, squares))
    pipeline.add_step(a_step("total", "squares"))
    assert pipeline.request({}).build()[1] == []
