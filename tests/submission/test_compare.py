"""Comparisons of runs."""

from __future__ import annotations

from typing import Any

import pytest

from flowyml_aws.submission.compare import (
    ComparedRun,
    Comparison,
    Kind,
    compare,
    with_sub_facts,
)


def a_run(**kinds: Any) -> ComparedRun:
    """Return a run with values such as `metric={("train", "loss"): 1.0}`."""
    values: dict[Any, Any] = {(Kind.CODE, None, "pipe.f"): "1" * 64}
    for kind, items in kinds.items():
        values.update({(Kind(kind), *key): value for key, value in items.items()})
    return ComparedRun("demo-1", "demo", "local", "succeeded", 2.0, None, values)


def different(comparison: Comparison) -> list[tuple[str, str | None, str, str]]:
    return [(v.kind.value, v.step, v.name, v.change) for v in comparison.differences]


def test_equal_runs_have_no_differences() -> None:
    comparison = compare(a_run(), a_run())
    assert comparison.differences == () and len(comparison.values) == 1
    assert comparison.sheets()[-1].lines == ("no differences",)


def test_changed_new_and_removed_values_are_differences() -> None:
    first = a_run(
        parameter={(None, "rate"): "0.5", (None, "size"): "3"},
        package={(None, "numpy"): "1.26", (None, "scipy"): "1"},
        metric={("train", "loss"): 0.5, ("train", "zero"): 0.0},
    )
    second = a_run(
        parameter={(None, "rate"): "0.7", (None, "size"): "3"},
        package={(None, "numpy"): "2.0", (None, "torch"): "2"},
        metric={("train", "loss"): 0.25, ("train", "zero"): 1.0},
    )
    assert different(compare(first, second)) == [
        ("parameter", None, "rate", "changed"),
        ("package", None, "numpy", "changed"),
        ("package", None, "scipy", "only in A"),
        ("package", None, "torch", "only in B"),
        ("metric", "train", "loss", "-50.0 %"),
        ("metric", "train", "zero", "changed"),
    ]


def test_values_of_a_sub_run_have_the_path_of_its_dynamic_step() -> None:
    inner = a_run(metric={("train", "loss"): 0.5}, output={(None, "model"): "abc"})
    inner = with_sub_facts(a_run(), {"refine": inner})
    whole = with_sub_facts(a_run(), {"search": inner})
    assert whole.values == {
        (Kind.CODE, None, "pipe.f"): "1" * 64,
        (Kind.CODE, "search", "pipe.f"): "1" * 64,
        (Kind.CODE, "search/refine", "pipe.f"): "1" * 64,
        (Kind.METRIC, "search/refine/train", "loss"): 0.5,
        (Kind.OUTPUT, None, "search/refine/model"): "abc",
    }


@pytest.mark.parametrize(
    ("kind", "first", "second", "is_different"),
    [
        ("time", 100.0, 109.0, False),
        ("time", 100.0, 120.0, True),
        ("time", 0.1, 0.9, False),
        ("cost", 1.0, 1.05, False),
        ("cost", 1.0, 2.0, True),
        ("cost", 0.00001, 0.00005, False),
        ("metric", 1.0, 1.0000001, True),
    ],
)
def test_small_differences_of_times_and_costs_do_not_count(
    kind: str, first: float, second: float, is_different: bool
) -> None:
    comparison = compare(
        a_run(**{kind: {("train", ""): first}}), a_run(**{kind: {("train", ""): second}})
    )
    assert bool(comparison.differences) is is_different


def test_a_cached_step_differs_by_its_state_and_not_by_its_time() -> None:
    first = a_run(state={("train", ""): "succeeded"}, time={("train", ""): 9.0})
    second = a_run(state={("train", ""): "cached"})
    assert different(compare(first, second)) == [("state", "train", "", "changed")]


def test_steps_keep_the_order_of_the_run() -> None:
    states = {("z", ""): "succeeded", ("a", ""): "succeeded"}
    first = a_run(state=states, metric={("a", "m"): 1.0, ("z", "m"): 1.0})
    metrics = [v.step for v in compare(first, first).values if v.kind is Kind.METRIC]
    assert metrics == ["z", "a"]


def test_tables_show_differences_or_everything() -> None:
    first = a_run(parameter={(None, "rate"): "0.5", (None, "size"): "3"})
    second = a_run(parameter={(None, "rate"): "0.7", (None, "size"): "3"})
    comparison = compare(first, second)
    assert [sheet.title for sheet in comparison.sheets() if sheet.title] == ["parameters"]
    assert comparison.sheets()[1].rows == [("rate", "0.5", "0.7", "changed")]
    rows = {row[0] for sheet in comparison.sheets(everything=True) for row in sheet.rows}
    assert {"rate", "size", "pipe.f"} <= rows
    assert "parameter rate: 0.5 → 0.7 (changed)" in str(comparison)


def test_notes_name_what_can_not_be_compared() -> None:
    without_code = ComparedRun("other-1", "other", "local", "running", None, None, {})
    comparison = compare(a_run(), without_code)
    assert comparison.notes == (
        "the runs are of different pipelines: demo and other",
        "the code of B was not recorded: none of its steps can be cached",
    )


def test_names_in_a_notebook_are_escaped() -> None:
    comparison = compare(a_run(parameter={(None, "x"): "<script>"}), a_run())
    assert "<script>" not in comparison._repr_html_() + comparison._repr_markdown_()
    assert "&lt;script&gt;" in comparison._repr_html_()
