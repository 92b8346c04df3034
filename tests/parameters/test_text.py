"""Text from the command line becomes a value of the parameter's type; see also the table."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NewType, Optional, Union
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, BeforeValidator, Field

from flowyml_aws.core.context import ContextText
from flowyml_aws.core.step import Step
from tests.parameters.functions import (
    Color,
    Level,
    Optimizer,
    mistake,
    step_with,
    taken,
    written,
)
from tests.support.effort import examples

pytestmark = pytest.mark.version_sensitive


class Model(BaseModel):
    depth: int


class Point(NamedTuple):
    x: int
    y: int = 0


UserId = NewType("UserId", str)
Positive = NewType("Positive", Annotated[int, Field(gt=0)])
Words = Annotated[list[str], BeforeValidator(lambda t: t.split() if isinstance(t, str) else t)]
TWO_HOURS = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (tuple[int, ...], "1,2", (1, 2)),
        (set[int], "[1, 2]", {1, 2}),
        (list[int], "{3, 1}", [3, 1]),
        (list[Path], '["a"]', [Path("a")]),
        (list[int | None], "[1, null]", [1, None]),
        (Sequence[int], "[1]", [1]),
        (Iterable[int], "[1, 2]", [1, 2]),
        (Mapping[str, float], '{"a": 1}', {"a": 1.0}),
        (dict[int, str], '{"1": "a"}', {1: "a"}),
        (Point, '{"x": 1}', Point(1)),
        (Optimizer, '{"rate": 0.5}', Optimizer(0.5)),
        (list[Optimizer], "[{'rate': 1}]", [Optimizer(1.0)]),
        (Model, '{"depth": 2}', Model(depth=2)),
        (date, "2026-05-01", date(2026, 5, 1)),
        (timedelta, "PT30S", timedelta(seconds=30)),
        (Decimal, "1.10", Decimal("1.10")),
        (UUID, "0" * 32, UUID(int=0)),
        (bytes, "ab", b"ab"),
        (Color, "r", Color.RED),
        (Color, "RED", Color.RED),
        (Color, "1", Color.ONE),
        (Level, "HIGH", Level.HIGH),
        (Literal["auto", 1, True], "1", 1),
        (Literal["auto", 1, True], "true", True),
        (Literal[Color.RED], "RED", Color.RED),
        (UserId, "007", "007"),
        (Positive, "5", 5),
        (Words, "a b", ["a", "b"]),
        (Optional[float], "1", 1.0),  # noqa: UP045
    ],
)
def test_a_type_reads_its_plain_form_or_a_literal(annotation: Any, text: str, value: Any) -> None:
    result = written(text, annotation)
    assert (type(result), repr(result)) == (type(value), repr(value))


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (str | None, "null", None),
        (str | None, "x", "x"),
        (int | str, "12", 12),
        (str | int, "12", 12),
        (int | str, "007", "007"),
        (float | str, ".5", 0.5),
        (float | str, "sqrt", "sqrt"),
        (bool | int, "1", 1),
        (bool | int, "no", False),
        (float | int, "1", 1),
        (bool | str, "no", False),
        (Path | None, "a", Path("a")),
        (str | list[str], '["a"]', ["a"]),
        (str | list[str], "a", "a"),
        (Literal["auto"] | int, "5", 5),
        (Union[int, list[int]], "[1]", [1]),  # noqa: UP007
    ],
)
def test_a_union_reads_the_type_that_fits_and_a_string_last(
    annotation: Any, text: str, value: Any
) -> None:
    assert repr(written(text, annotation)) == repr(value)


@pytest.mark.parametrize(
    ("default", "text", "value"),
    [
        (1, "0.5", 0.5),
        (1, "2", 2),
        (np.float64(1), "2", 2.0),
        ("a", "12", "12"),
        ((), "1,2", (1, 2)),
        ([1], "[2]", [2]),
        (Path("a"), "b", Path("b")),
        (Color.RED, "ONE", Color.ONE),
        (Optimizer(1.0), '{"rate": 2}', Optimizer(2.0)),
        (None, "12", 12),
        (None, "x", "x"),
        (print, "12", 12),
    ],
)
def test_text_for_an_unannotated_parameter_becomes_a_value_like_its_default(
    default: Any, text: str, value: Any
) -> None:
    assert repr(written(text, default=default)) == repr(value)


@pytest.mark.parametrize("annotation", [Any, object, "Unknown", "a comment", 5, list["Unknown"]])  # type: ignore[name-defined]  # noqa: F821
def test_an_annotation_that_is_not_a_type_is_not_checked(annotation: Any) -> None:
    assert written("[12]", annotation) == [12]
    assert written("no", annotation, default=True) is False


def test_none_is_a_value_of_a_parameter_whose_default_is_none() -> None:
    assert written("null", int, default=None) is None
    assert written("3", int, default=None) == 3


@pytest.mark.skipif(sys.version_info < (3, 12), reason="`type X = …` is new in Python 3.12")
def test_an_alias_has_the_type_that_it_names() -> None:
    namespace: dict[str, Any] = {}
    exec("type Sizes = list[int]", namespace)
    assert written("[1]", namespace["Sizes"]) == [1]
    assert mistake("1", step_with(namespace["Sizes"])).what == "Invalid context value x='1'"


def test_types_are_found_in_the_closure_of_a_function() -> None:
    class Local(NamedTuple):
        x: int

    def train(x: Local) -> Local:
        return Local(x.x)

    assert taken(ContextText("[1]"), Step(train, "train")) == Local(1)


@pytest.mark.parametrize(
    ("annotation", "text", "reason"),
    [
        (int, "true", "valid integer"),
        (float, "", "valid number"),
        (bool, "2", "valid boolean"),
        (list[str], "a,b", "valid list"),
        (list[int], '["a"]', "0: input should be a valid integer"),
        (Optimizer, '{"rate": 1, "title": "x"}', "title: unexpected keyword argument"),
        (Positive, "-5", "greater than 0"),
        (int | list[int], "x", "valid integer, unable to parse string as an integer, or input"),
        (Iterator[int], "[1]", "can't be written as text"),
        (np.ndarray, "[1]", "instance of ndarray"),
        (Callable[[], int], "print", "callable"),
    ],
)
def test_text_that_is_not_a_value_of_the_type_is_a_mistake(
    annotation: Any, text: str, reason: str
) -> None:
    problem = mistake(ContextText(text), step_with(annotation))
    assert problem.what == f"Invalid context value x={text!r}"
    assert problem.why.startswith("parameter `x: ") and " of step 'train': " in problem.why
    assert reason in problem.why


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (date, "20260501"),
        (datetime, "2026"),
        (timedelta, "30"),
        (list[datetime], "[0]"),
        (dict[str, date], '{"day": 0}'),
        (list[datetime], '["2026"]'),
    ],
)
def test_a_number_is_not_a_date(annotation: Any, text: str) -> None:
    assert "ISO 8601" in mistake(ContextText(text), step_with(annotation)).why


def test_time_zones_are_those_of_the_standard_library() -> None:
    (zoned,) = written('["2026-05-01T12:00:00+02:00"]', list[datetime])
    assert repr(zoned) == repr(datetime(2026, 5, 1, 12, tzinfo=TWO_HOURS))
    assert written("2026-05-01T12:00:00Z", datetime).tzinfo is timezone.utc


def test_a_mistake_says_what_why_and_how_to_fix_it() -> None:
    problem = mistake(ContextText("three"), step_with(int))
    assert str(problem) == (
        "Invalid context value x='three'\n"
        "  why: parameter `x: int` of step 'train': input should be a valid integer, unable to "
        "parse string as an integer\n"
        "  fix: write a whole number such as 10, or change the annotation"
    )
    assert mistake(ContextText("sdg"), step_with(Literal["adam", "sgd"])).fix == (
        "did you mean 'sgd'?"
    )
    problem = mistake(ContextText("three"), step_with(default=1))
    assert problem.why.startswith("parameter `x=1` of step 'train': ")
    assert "annotate the parameter" in problem.fix


@examples(50)
@given(
    st.one_of(
        st.integers(),
        st.floats(allow_nan=False),
        st.booleans(),
        st.text(),
        st.lists(st.integers()),
        st.dictionaries(st.text(), st.floats(allow_nan=False)),
        st.tuples(st.integers(), st.text()),
        st.dates(),
        st.uuids(),
        st.decimals(allow_nan=False, allow_infinity=False),
    )
)
def test_the_usual_form_of_a_value_means_this_value(value: Any) -> None:
    result = written(str(value), type(value))
    assert repr(result) == repr(value)
