from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flowyml_aws.core.binding import bind

pytestmark = pytest.mark.version_sensitive


def call_step(
    function: Callable[..., Any],
    inputs: dict[str, Any],
    context: dict[str, Any] | None = None,
) -> Any:
    """Call a step's function with these inputs, in this order, and this context."""
    context = context or {}
    return bind(function, list(inputs), context).call(function, inputs, context)


def call_condition(
    condition: Callable[..., Any],
    function: Callable[..., Any],
    inputs: dict[str, Any],
    context: dict[str, Any] | None = None,
    assets: dict[str, Any] | None = None,
) -> Any:
    """Call a step's condition with these inputs, context values and other assets."""
    context = context or {}
    values = {**(assets or {}), **inputs}
    return bind(condition, list(inputs), context, values, function).call(condition, values, context)


def test_an_input_fills_the_parameter_of_the_same_name() -> None:
    assert call_step(lambda b, a: (a, b), {"a": 1, "b": 2}) == (1, 2)


def test_an_input_without_a_matching_name_fills_the_parameter_at_its_index() -> None:
    assert call_step(lambda train, test: (train, test), {"data/train": 1, "data/test": 2}) == (1, 2)


def test_a_parameter_filled_by_name_is_not_filled_by_index() -> None:
    assert call_step(lambda b, x=0: (b, x), {"a": 1, "b": 2}) == (2, 0)


def test_an_input_without_a_parameter_is_dropped() -> None:
    assert call_step(lambda: "done", {"a": 1}) == "done"


def test_the_context_fills_parameters_by_name() -> None:
    assert call_step(lambda a, rate: (a, rate), {"a": 1}, {"rate": 0.5, "other": 7}) == (1, 0.5)


def test_inputs_take_precedence_over_the_context() -> None:
    assert call_step(lambda a: a, {"a": 1}, {"a": 2}) == 1


def test_keyword_only_parameters_are_filled() -> None:
    assert call_step(lambda *, a, rate: (a, rate), {"a": 1}, {"rate": 2}) == (1, 2)


def test_a_function_with_keyword_arguments_takes_inputs_by_name() -> None:
    assert call_step(lambda **values: values, {"a": 1, "data/b": 2}, {"c": 3}) == {"a": 1}


def test_positional_only_parameters_are_passed_by_position() -> None:
    def function(a: int, b: int = 10, c: int = 20, /) -> tuple[int, ...]:
        return a, b, c

    assert call_step(function, {"a": 1, "c": 3}) == (1, 10, 3)


def test_a_builtin_without_signature_takes_its_inputs_in_order() -> None:
    assert call_step(min, {"a": 2, "b": 1}) == 1


def test_parameters_without_a_value_or_default_are_missing() -> None:
    assert bind(lambda a, b, c=1, *args, **kwargs: None, ["a"], ()).missing == ("b",)


def test_a_condition_gets_the_same_value_as_its_step_for_the_same_parameter() -> None:
    inputs = {"data/train": "train", "data/test": "test"}
    assert call_condition(lambda test: test, lambda train, test: None, inputs) == "test"


def test_a_condition_gets_any_asset_by_its_name() -> None:
    assert call_condition(
        lambda accuracy: accuracy, lambda model: None, {"model": "m"}, assets={"accuracy": 0.9}
    ) == pytest.approx(0.9)


def test_a_condition_gets_the_context_by_name_before_inputs_by_position() -> None:
    assert (
        call_condition(lambda limit: limit, lambda model: None, {"model": "m"}, {"limit": 3}) == 3
    )


def test_a_condition_parameter_with_an_unknown_name_is_filled_by_position() -> None:
    assert call_condition(lambda d: d, lambda data: None, {"data": 5}) == 5


def test_a_condition_parameter_with_a_default_is_not_filled_by_position() -> None:
    condition = lambda d, limit=10: (d, limit)  # noqa: E731
    assert call_condition(condition, lambda a, b: None, {"a": 1, "b": 2}) == (1, 10)


def test_a_condition_without_parameters_is_called_without_arguments() -> None:
    assert call_condition(lambda: False, lambda data: None, {"data": 5}) is False
