"""Values from a file have the types of JSON or TOML, and are converted if the type requires it."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.core.context import ContextEntry
from tests.parameters.functions import Color, Optimizer, entry, mistake, step_with


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (float, 1, 1.0),
        (int, "12", 12),
        (str, "12", "12"),
        (str | None, "null", "null"),
        (int | str, "12", "12"),
        (Path, "a", Path("a")),
        (tuple[int, ...], [1], (1,)),
        (Optimizer, {"rate": 1}, Optimizer(1.0)),
        (Color, "RED", Color.RED),
        (date, date(2026, 5, 1), date(2026, 5, 1)),
        (date, "2026-05-01", date(2026, 5, 1)),
        (None, "12", "12"),
    ],
)
def test_a_value_in_a_file_keeps_its_type_if_it_can(
    annotation: Any, value: Any, expected: Any
) -> None:
    assert repr(entry(value, annotation)) == repr(expected)


def test_the_type_of_a_default_converts_strings_in_a_file() -> None:
    assert entry("a", default=Path("b")) == Path("a")
    assert entry("a", default="b") == "a"
    assert entry(0.5, default=1) == 0.5
    assert entry(3, default="auto") == 3
    assert "default's type" in mistake(ContextEntry("x"), step_with(default=1)).fix


@pytest.mark.parametrize(("annotation", "value"), [(str, 12), (int, 2.5), (list[int], [1, "x"])])
def test_a_value_in_a_file_of_another_type_is_a_mistake(annotation: Any, value: Any) -> None:
    problem = mistake(ContextEntry(value), step_with(annotation))
    assert problem.what == f"Invalid context value x={value!r}"
