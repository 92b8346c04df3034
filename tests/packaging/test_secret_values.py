from __future__ import annotations

from typing import Any

import pytest

from flowyml_aws.code.bindings import Binding
from flowyml_aws.packaging.secret_values import secret_arguments, secret_values

KEY = "AKIA" + "IOSFODNN7" + "EXAMPLE"


def test_an_argument_with_a_secret_is_refused_by_its_position_and_not_shown() -> None:
    (error,) = secret_arguments(["--rate", "0.5", KEY])
    assert error.what == "Argument 3 of the program looks like a secret"
    assert KEY not in str(error)


@pytest.mark.parametrize("arguments", [["--api-key", "abc"], ["--api-key=abc"]])
def test_an_option_named_like_a_secret_is_refused_with_its_value(arguments: list[str]) -> None:
    (error,) = secret_arguments(arguments)
    assert "its name contains API_KEY" in error.why


@pytest.mark.parametrize("arguments", [[], ["--max-tokens", "3"], ["--use-token"], ["flow", "-v"]])
def test_other_arguments_are_accepted(arguments: list[str]) -> None:
    assert list(secret_arguments(arguments)) == []


@pytest.mark.parametrize(
    ("name", "value", "is_refused"),
    [
        ("TOKEN", "abc", True),
        ("SETTINGS", KEY, True),
        ("TOKEN", None, False),
        ("TOKEN_COUNT", 3, False),
        ("RATE", "fast", False),
    ],
)
def test_a_carried_string_that_looks_like_a_secret_is_refused(
    name: str, value: Any, is_refused: bool
) -> None:
    errors = list(secret_values({Binding("flow", name): value}))
    assert bool(errors) is is_refused
    assert all("abc" not in str(error) and KEY not in str(error) for error in errors)
