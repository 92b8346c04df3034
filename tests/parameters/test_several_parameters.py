"""One context value for several parameters."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from flowyml_aws import step
from flowyml_aws.caching.fingerprint import Fingerprinter
from flowyml_aws.caching.identity import identify
from flowyml_aws.core.context import ContextText
from flowyml_aws.core.graph import read_graph
from flowyml_aws.core.step import Step
from tests.parameters.functions import mistake, resolved_context, step_with, taken


def test_parameters_with_the_same_value_share_it() -> None:
    shared = taken(ContextText("5"), step_with(int), step_with(int | None, name="evaluate"))
    assert repr(shared) == "5"


def test_an_annotation_decides_over_defaults_and_over_unannotated_parameters() -> None:
    steps = step_with(str), step_with(default=1, name="evaluate"), step_with(name="report")
    assert taken(ContextText("007"), *steps) == "007"
    assert repr(taken(ContextText("1"), step_with(default=0.5), step_with(name="report"))) == "1.0"


def test_an_integer_serves_a_float_too() -> None:
    for types in ((int, float), (float, int)):
        steps = step_with(types[0]), step_with(types[1], name="evaluate")
        assert repr(taken(ContextText("2"), *steps)) == "2"
    assert repr(taken(ContextText("2"), step_with(default=1), step_with(default=0.5))) == "2"


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        (int, str, "12"),
        (str, str | None, "null"),
        (list[int], list[float], "[1]"),
        (bool, int, "1"),
    ],
)
def test_a_text_with_two_meanings_is_a_mistake_that_names_both(
    first: Any, second: Any, text: str
) -> None:
    problem = mistake(ContextText(text), step_with(first), step_with(second, name="evaluate"))
    assert problem.what == f"Ambiguous context value x={text!r}"
    assert "of step 'train'" in problem.why and "of step 'evaluate'" in problem.why
    assert problem.fix == "give both parameters the same annotation, or different names"


def test_every_parameter_that_takes_a_value_is_checked() -> None:
    @step(condition=lambda x=True: x, cache=lambda y=1: y)
    def train(x: int, y: Literal["a"]) -> int:
        return x

    @step
    def evaluate(x: bool, y: str) -> bool:
        return x

    context = {"x": "no", "y": ContextText("b")}
    problems = resolved_context([train, evaluate], {}, context).problems
    assert [problem.why.partition("`")[2].partition("`")[0] for problem in problems] == [
        "x: int",
        "x: bool",
        "y: Literal['a']",
    ]


def test_the_conditions_parameters_are_checked_and_their_text_is_converted() -> None:
    def is_large(limit: int) -> bool:
        return limit > 2

    @step(condition=is_large)
    def train() -> int:
        return 1

    resolved = resolved_context([train], {}, {"limit": ContextText("3")})
    assert (resolved.values, resolved.problems) == ({"limit": 3}, [])
    (problem,) = resolved_context([train], {}, {"limit": "3"}).problems
    assert problem.why.startswith("parameter `limit: int` of the condition of step 'train' ")


def test_the_context_of_a_pipeline_is_checked_too() -> None:
    resolved = resolved_context([step_with(int)], {"x": "3"}, {})
    assert [problem.what for problem in resolved.problems] == ["Invalid context value x='3'"]
    assert not resolved_context([step_with(int)], {"x": "3"}, {"x": 3}).problems


def test_written_values_have_the_cache_key_of_values_given_in_python() -> None:
    def key(train: Step, value: Any) -> str:
        graph, _ = read_graph([train], context=["x"])
        assert graph is not None
        values = resolved_context([train], {}, {"x": value}).values
        identity = identify(train, graph, values, Fingerprinter())
        assert identity is not None
        return identity.digest

    annotated, with_default = step_with(float), step_with(default=0.5)
    for train in (annotated, with_default):
        assert key(train, ContextText(".25")) == key(train, 0.25) != key(train, 0.5)
