from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any, Optional, TypeAlias

import pytest

from flowyml_aws import Lazy, Skipped, step
from flowyml_aws.core.annotations import NO_TYPE
from flowyml_aws.core.binding import bind
from flowyml_aws.core.lazy_parameters import is_plainly_a_value, value_type

if TYPE_CHECKING:
    from decimal import Decimal

Rows: TypeAlias = "Lazy[list[int]]"


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (Lazy[int], int),
        (Lazy[list[int]], list[int]),
        (Lazy[int] | None, int | None),
        (Annotated[Lazy[int], "rows"], int),
        (Lazy[Any], NO_TYPE),
        (Lazy, NO_TYPE),
        (int, int),
        (int | str, int | str),
        (NO_TYPE, NO_TYPE),
    ],
)
def test_the_value_of_a_lazy_parameter_has_the_type_in_the_brackets(
    annotation: Any, expected: Any
) -> None:
    assert value_type(annotation) == expected


@pytest.mark.parametrize("annotation", [Lazy, Lazy[int], "Lazy", "Rows"])
def test_an_annotation_that_may_be_a_handle_is_evaluated(annotation: Any) -> None:
    assert not is_plainly_a_value(annotation)


@pytest.mark.parametrize("annotation", [NO_TYPE, int, "float", Skipped])
def test_the_annotation_of_a_plain_value_is_not_evaluated(annotation: Any) -> None:
    assert is_plainly_a_value(annotation)


def test_the_arguments_of_lazy_parameters_are_lazy() -> None:
    def function(
        a: Lazy[int],
        b: Rows,
        c: Optional[Lazy[int]],  # noqa: UP045
        d: int,
        *args: Lazy[int],
        e: Lazy[Decimal] | None = None,
        f: int = 0,
    ) -> None: ...

    bound = bind(function, ["a", "b", "c", "d", "more"], ["e", "f"])
    assert bound.arguments.lazy_assets == {"a", "b", "c", "more"}
    assert bound.arguments.lazy_context == {"e"}
    of_item = bound.arguments.with_assets({"a": "a[3]"})  # as in the steps of a map's items
    assert of_item.lazy_assets == {"a[3]", "b", "c", "more"}


def test_a_step_that_is_called_directly_gets_handles_of_plain_values() -> None:
    @step(inputs=["rows", "more"])
    def first(rows: Lazy[list[int]], more: Lazy[int], *others: Lazy[int], plain: Any = 5) -> Any:
        return rows[0], more.load(), [other.load() for other in others], plain

    assert first([1, 2], 3, 4, plain=6) == (1, 3, [4], 6)
    assert first(Lazy.of([1]), more=3) == (1, 3, [], 5)


def test_a_step_that_is_called_directly_may_get_no_value() -> None:
    @step(inputs=["rows"])
    def see(rows: Lazy[int] | Skipped | None) -> Any:
        return rows

    skipped = Skipped("rows", "a reason")
    assert see(None) is None
    assert see(rows=skipped) is skipped


def test_wrong_arguments_of_a_direct_call_are_the_errors_of_python() -> None:
    @step(inputs=["rows"])
    def see(rows: Lazy[int]) -> None: ...

    for args, keywords in [((1, 2), {}), ((), {"row": 1}), ((), {})]:
        with pytest.raises(TypeError, match="see"):
            see(*args, **keywords)


def test_the_signature_of_a_step_stays() -> None:
    @step(inputs=["rows"])
    def see(rows: Lazy[int]) -> None: ...

    assert list(inspect.signature(see.func).parameters) == ["rows"]
