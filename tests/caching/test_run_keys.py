"""Recorded parameters of runs."""

from __future__ import annotations

from typing import Any

import pytest

from flowyml_aws.caching.run_keys import written_parameters


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        ("a", "'a'"),
        ([1, "x", None], "[1, 'x', None]"),
        ({"a": (1, 2.5)}, "{'a': (1, 2.5)}"),
        ("x" * 300, None),
        (object(), None),
        ([object()], None),
    ],
)
def test_only_short_values_of_simple_types_are_recorded(value: Any, text: str | None) -> None:
    assert written_parameters({"value": value}).get("value") == text


def test_values_that_look_like_secrets_are_not_recorded() -> None:
    assert written_parameters({"db_password": "hunter22", "rate": 1}) == {"rate": "1"}
