"""Context values that no parameter takes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from flowyml_aws import Pipeline, step
from flowyml_aws.core.context import ContextText
from flowyml_aws.core.errors import InvalidPipelineError
from flowyml_aws.core.step import Step
from flowyml_aws.parameters.resolve import ResolvedContext
from tests.parameters.functions import resolved_context, step_with


def in_pipeline(parameter: str, *steps: Step, **context: Any) -> ResolvedContext:
    """Resolve the context of a pipeline whose step has one parameter."""
    train = step_with(default=0.1, parameter=parameter)
    return resolved_context([train, *steps], context, {})


@pytest.mark.parametrize(
    ("parameter", "name"),
    [
        ("learning_rate", "lerning_rate"),
        ("learning_rate", "learningRate"),
        ("epochs", "epoch"),
        ("alpha", "alphaa"),
        ("batch_size", "batchsize"),
    ],
)
def test_a_name_like_that_of_an_unfilled_parameter_is_a_mistake(parameter: str, name: str) -> None:
    (problem,) = in_pipeline(parameter, **{name: 0.5}).problems
    assert problem.what == (
        f"No step takes the context value {name!r} (did you mean {parameter!r}?)"
    )
    assert problem.why == f"the parameter {parameter!r} has no value in the context"


@pytest.mark.parametrize(
    ("parameter", "name"),
    [
        ("train_size", "test_size"),
        ("x_min", "x_max"),
        ("layer_1", "layer_2"),
        ("input_path", "output_path"),
        ("epochs", "seed"),
    ],
)
def test_one_context_may_serve_several_pipelines(parameter: str, name: str) -> None:
    resolved = in_pipeline(parameter, **{name: 0.5})
    assert not resolved.problems
    assert resolved.notes == [f"context values that no step takes: {name}"]


def test_a_name_like_that_of_a_filled_parameter_is_a_note() -> None:
    resolved = in_pipeline("epochs", epochs=1, epoch=2)
    assert (list(resolved.problems), len(resolved.notes)) == ([], 1)


def test_the_plan_has_the_note() -> None:
    plan = Pipeline("p", context={"seed": 1}).add_step(step_with(default=1)).plan()
    assert "context values that no step takes: seed" in plan.notes


def test_a_value_of_a_run_must_be_taken_even_if_the_pipeline_has_it() -> None:
    resolved = resolved_context([step_with(int)], {"seed": 1}, {"seed": 2, "x": 1})
    (problem,) = resolved.problems
    assert problem.what == "No step of pipeline 'p' takes 'seed'"


def test_an_input_is_not_taken_from_the_context() -> None:
    @step(inputs=["rows"])
    def train(rows: int) -> int:
        return rows

    assert resolved_context([train], {}, {"rows": 1}).problems
    assert resolved_context([train], {"rows": 1}, {}).notes


def test_a_cache_function_takes_context_values() -> None:
    @step(cache=lambda day: day)
    def load() -> int:
        return 1

    resolved = resolved_context([load], {}, {"day": 15})
    assert not resolved.problems and not resolved.notes


def plain(function: Callable[..., Any]) -> Callable[..., Any]:
    def inner(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return inner


class Logged:
    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


def train(learning_rate: float = 0.1) -> float:
    return learning_rate


@pytest.mark.parametrize("decorated", [plain(train), plain(plain(train)), Logged(train)])
def test_a_value_reaches_the_function_behind_a_decorator_without_wraps(decorated: Any) -> None:
    steps = [Step(decorated, "train")]
    value = {"learning_rate": 0.5}
    assert not resolved_context(steps, value, {}).problems
    assert not resolved_context(steps, {}, value).problems
    (problem,) = resolved_context(steps, {}, {"learning_rat": 0.5}).problems
    assert "did you mean 'learning_rate'?" in problem.what


def test_a_decorator_with_wraps_hides_nothing() -> None:
    wrapped = functools.wraps(train)(plain(train))
    assert not resolved_context([Step(wrapped, "train")], {"learning_rate": 1}, {}).problems
    (problem,) = resolved_context([Step(wrapped, "t")], {"learning_rate": "1"}, {}).problems
    assert "parameter `learning_rate: " in problem.why


@pytest.mark.contract
def test_the_plan_and_the_run_report_all_mistakes_at_once() -> None:
    pipeline = Pipeline("p", context={"epoch": 1}).add_steps(
        [step_with(int), step_with(str, name="b", parameter="epochs", default="a")]
    )
    for method in (pipeline.plan, pipeline.run):
        with pytest.raises(InvalidPipelineError) as caught:
            method(context={"x": "3", "other": 1})
        assert len(caught.value.problems) == 3


def test_a_value_for_a_parameter_whose_input_goes_to_the_keywords_is_known() -> None:
    @step(inputs=["data"])
    def train(rate: float, **more: Any) -> float:
        return rate

    resolved = resolved_context([train], {}, {"rate": ContextText("0.5")})
    assert (resolved.values, resolved.problems) == ({"rate": 0.5}, [])
