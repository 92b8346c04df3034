"""Values given in Python are never converted, and refused only if they can't be meant."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np
import pytest
from pydantic import BaseModel

from flowyml_aws.core.errors import InvalidContextError
from tests.parameters.functions import Color, Level, Optimizer, mistake, step_with, taken

pytestmark = pytest.mark.version_sensitive


class Model(BaseModel):
    depth: int


class Options(TypedDict):
    depth: int


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, np.int64(3)),
        (float, np.float32(0.5)),
        (float, 1),
        (int, True),
        (int, 0.5),
        (int, None),
        (bool, 1),
        (bool, np.bool_(True)),
        (str, np.str_("a")),
        (str, None),
        (Path, "data"),
        (list[int], (1, 2)),
        (tuple[int, int], [1, 2]),
        (list[int], np.array([1])),
        (list[float], [1, np.float64(2)]),
        (dict[str, int], {"a": np.int8(1)}),
        (Sequence[str], "abc"),
        (Iterable[str], "abc"),
        (Optimizer, {"rate": 1}),
        (int | str, "auto"),
        (Literal["auto"] | int, 3),
        (Literal["adam", 1], np.str_("adam")),
        (Color, "r"),
        (np.ndarray, "a"),
        (threading.Thread, "a"),
        (Any, "a"),
        ("Unknown", "a"),
        (5, "a"),
    ],
)
def test_a_value_that_can_be_meant_is_the_same_object(annotation: Any, value: Any) -> None:
    assert taken(value, step_with(annotation)) is value


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, "3"),
        (float, np.str_("0.5")),
        (bool, "false"),
        (np.float64, "1"),
        (Level, "HIGH"),
        (list, "[1]"),
        (list[int], ["1"]),
        (tuple[int, str], ("1", "a")),
        (Sequence[int], "12"),
        (set[str], "a"),
        (dict, "{}"),
        (Mapping[str, int], {"a": "1"}),
        (dict[str, int], {1: 1}),
        (Optimizer, "adam"),
        (list[Optimizer], ["adam"]),
        (Model, "a"),
        (Options, "a"),
        (str, 3),
        (str, np.int64(3)),
        (str, True),
        (list[str], [1]),
        (int | None, "3"),
        (int | list[int], "3"),
        (Literal["adam", "sgd"], "sdg"),
        (Literal[1, 2], 3),
        (Literal[1, 2], np.array([1, 2])),
        (Literal["auto"] | int, "3"),
    ],
)
def test_a_value_that_cannot_be_meant_is_a_mistake(annotation: Any, value: Any) -> None:
    problem = mistake(value, step_with(annotation))
    assert isinstance(problem, InvalidContextError)
    assert "of step 'train'" in problem.why


@pytest.mark.parametrize(
    ("default", "value"), [(1, "auto"), ("auto", 3), ([1], "a"), (True, "no"), (1, 0.5)]
)
def test_the_type_of_a_default_refuses_nothing(default: Any, value: Any) -> None:
    assert taken(value, step_with(default=default)) is value


def test_none_passes_if_it_is_the_default() -> None:
    assert taken(None, step_with(Literal["a"], default=None)) is None
    assert mistake(None, step_with(Literal["a"])).what == "Invalid context value x=None"


def test_the_fix_names_the_value_that_seems_to_be_meant() -> None:
    assert str(mistake("3", step_with(int))) == (
        "Invalid context value x='3'\n"
        "  why: parameter `x: int` of step 'train' does not take a value of type str\n"
        "  fix: pass 3, or change the annotation"
    )
    assert mistake(3, step_with(str)).fix == "pass '3', or change the annotation"
    assert mistake("three", step_with(int)).fix == (
        "pass a value of this type, or change the annotation"
    )
    assert mistake("sdg", step_with(Literal["adam", "sgd"])).fix == "did you mean 'sgd'?"
