from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import pytest

from flowyml_aws import step
from flowyml_aws.core.binding import bind_steps
from flowyml_aws.core.errors import (
    AmbiguousArgumentError,
    FlowymlError,
    MissingArgumentError,
    UntakenInputError,
)
from flowyml_aws.core.graph import read_graph
from flowyml_aws.core.parameters import context_parameters, input_problems, missing_arguments

pytestmark = pytest.mark.version_sensitive


def problems_of(
    function: Any, inputs: Sequence[str] = (), context: Sequence[str] = (), **options: Any
) -> list[FlowymlError]:
    train = step(name="train", inputs=inputs, **options)(function)
    graph, problems = read_graph([train], inputs, context)
    assert graph is not None and not problems
    return input_problems(graph) + missing_arguments(graph, context)


@pytest.mark.parametrize(
    ("function", "inputs", "missing"),
    [
        (lambda data, rate: None, ["data"], ["rate"]),
        (lambda data, *, rate: None, ["data"], ["rate"]),
        (lambda a, b: None, [], ["a", "b"]),
        (lambda data, rate=1, *more, **others: None, ["data"], []),
    ],
)
def test_a_parameter_without_a_value_is_an_error(
    function: Any, inputs: list[str], missing: list[str]
) -> None:
    problems = problems_of(function, inputs)
    assert [type(problem) for problem in problems] == [MissingArgumentError] * len(missing)
    for problem, parameter in zip(problems, missing, strict=True):
        assert f"'train' has no value for {parameter!r}" in problem.what


def test_a_parameter_in_the_context_is_not_missing() -> None:
    assert problems_of(lambda rate: rate, [], ["rate"]) == []


def test_the_error_names_the_step_that_produces_the_value_of_an_undeclared_input() -> None:
    load = step(name="load", outputs=["data"])(lambda: [1])
    train = step(name="train")(lambda data: data)
    graph, _ = read_graph([load, train], [], [])
    assert graph is not None
    (problem,) = missing_arguments(graph, [])
    assert problem.why.startswith("step 'load' produces it")
    assert problem.fix == 'add it: @step(inputs=["data"], …)'


def test_the_error_for_a_misspelled_parameter_suggests_the_nearest_name() -> None:
    (problem,) = problems_of(lambda learning_rat: None, [], ["learning_rate"])
    assert "'learning_rate'" in problem.what


def test_the_error_for_a_missing_argument_of_a_condition_names_the_condition() -> None:
    (problem,) = problems_of(lambda: None, condition=lambda acuracy: True)
    assert "(condition)" in problem.what


def test_the_error_for_an_input_without_a_parameter_names_after() -> None:
    (problem,) = problems_of(lambda rows, limit=0: None, ["rows", "x", "ready"])
    assert isinstance(problem, UntakenInputError)
    assert "reads 'ready', but no parameter takes it" in problem.what
    assert 'after=["ready"]' in problem.fix


def test_inputs_of_a_function_without_parameters_only_decide_the_order() -> None:
    assert problems_of(lambda: None, ["rows"]) == []


def test_an_input_that_only_the_condition_takes_is_no_mistake() -> None:
    assert problems_of(lambda x=0: None, ["x", "ready"], condition=lambda ready: ready) == []


def test_the_error_for_two_sources_names_both() -> None:
    (problem,) = problems_of(lambda scale, data=None: None, ["a"], ["scale"])
    assert isinstance(problem, AmbiguousArgumentError)
    assert "two values for 'scale': asset 'a' and a context value" in problem.what
    assert "passed by position" in problem.why
    assert "rename the parameter that takes the input to 'a'" in problem.fix
    (problem,) = problems_of(lambda a: None, ["a"], ["a"])
    assert "rename the context value or the asset" in problem.fix


def test_the_context_can_fill_the_parameters_that_have_no_input() -> None:
    def scaled(function: Any) -> Any:
        @functools.wraps(function)
        def inner(*args: Any, factor: float = 10, **kwargs: Any) -> Any:
            return function(*args, **kwargs) * factor

        return inner

    @step(inputs=["data"], condition=lambda limit: True)
    @scaled
    def train(data: Any, rate: float = 1) -> Any: ...

    parameters = {p.name: p for p in context_parameters(bind_steps([train]))}
    assert parameters.keys() == {"factor", "rate", "limit"}
    assert parameters["limit"].owner == "the condition of step 'train'"
    assert str(parameters["rate"]) == "parameter `rate: float` of step 'train'"
    assert (parameters["rate"].declared.default, parameters["rate"].type) == (1, float)


def test_the_names_that_no_parameter_takes_are_not_in_the_context() -> None:
    def logged(*args: Any, **kwargs: Any) -> Any: ...

    assert context_parameters(bind_steps([step(logged)])) == []


def test_the_context_cannot_fill_a_parameter_that_an_input_fills_by_position() -> None:
    train = step(name="train", inputs=["data/train"], condition=lambda train: True)
    (rate,) = context_parameters(bind_steps([train(lambda train, rate: None)]))
    assert rate.name == "rate"
    names = {p.name for p in context_parameters(bind_steps([train(lambda data, rate: None)]))}
    assert names == {"rate", "train"}
