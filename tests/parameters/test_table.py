"""The cases of `context_values.csv`: annotation, text, and the repr of the value."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, Literal

import pytest

from flowyml_aws.core.context import ContextText
from flowyml_aws.core.step import Step
from tests.parameters.functions import resolved_context

pytestmark = pytest.mark.version_sensitive

with Path(__file__).with_name("context_values.csv").open(encoding="utf-8", newline="") as table:
    ROWS = [tuple(row.values()) for row in csv.DictReader(table)]


def function_with(description: str) -> Any:
    """Return a function whose parameter `x` has an annotation or a default of the table."""
    if description == "unannotated without default":
        parameter = "x"
    elif description.startswith("unannotated with default "):
        parameter = f"x={description.rpartition(' ')[2]}"
    else:
        parameter = f"x: {description}"
    namespace: dict[str, Any] = {"Literal": Literal, "Path": Path}
    exec(f"def f({parameter}): pass", namespace)
    return namespace["f"]


@pytest.mark.parametrize(("annotation", "text", "expected"), ROWS)
def test_text_becomes_the_value_of_the_table(annotation: str, text: str, expected: str) -> None:
    function = function_with(annotation)
    as_string = function_with(annotation)  # as with `from __future__ import annotations`
    as_string.__annotations__ = dict.fromkeys(function.__annotations__, annotation)
    for step in (Step(function, "f"), Step(as_string, "f")):
        resolved = resolved_context([step], {}, {"x": ContextText(text)})
        if expected == "error":
            (problem,) = resolved.problems
            assert problem.what == f"Invalid context value x={text!r}"
        else:
            assert not resolved.problems
            assert repr(resolved.values["x"]) == expected
