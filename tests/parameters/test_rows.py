from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowyml_aws import Step, step
from flowyml_aws.core.binding import bind_step
from flowyml_aws.core.context import ContextText
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.parameters.rows import resolve_rows, with_sweeps


@step(outputs=["score"])
def fit(lr: float, depth: int = 3) -> float:
    return lr * depth


def resolved(declared: Step) -> tuple[Sequence[Mapping[str, Any]], list[FlowymlError]]:
    bound, problems = resolve_rows(bind_step(declared, (), ()))
    assert bound.step.mapping is not None and bound.step.mapping.rows is not None
    return bound.step.mapping.rows, problems


def texts(**row: str) -> dict[str, ContextText]:
    return {name: ContextText(text) for name, text in row.items()}


def test_the_annotations_decide_the_types_of_written_values() -> None:
    rows, problems = resolved(fit.map(rows=[texts(lr="1", depth="2"), texts(lr="1e-3", depth="4")]))
    assert problems == []
    assert rows == ({"lr": 1.0, "depth": 2}, {"lr": 0.001, "depth": 4})
    assert type(rows[0]["lr"]) is float


def test_values_of_other_types_are_errors_before_the_run() -> None:
    _, problems = resolved(fit.map(rows=[texts(lr="fast", depth="2"), texts(lr="0.1", depth="x")]))
    assert [problem.what for problem in problems] == [
        "Map of step 'fit': Invalid context value lr='fast'",
        "Map of step 'fit': Invalid context value depth='x'",
    ]
    _, problems = resolved(fit.map(grid={"lr": ["fast", "slow", "fast"]}))
    assert len(problems) == 2


def test_a_mistyped_parameter_is_an_error_with_the_nearest_name() -> None:
    _, (problem,) = resolved(fit.map(grid={"deph": [1, 2]}))
    assert problem.what == "Step 'fit' has no parameter 'deph' for the values of its map"
    assert "did you mean 'depth'" in problem.fix


def test_a_sweep_makes_a_step_a_map() -> None:
    (swept,), problems = with_sweeps([fit], {"fit": [{"lr": 1.0}, {"lr": 2.0}]})
    assert problems == []
    assert swept.mapping is not None
    assert swept.mapping.rows == ({"lr": 1.0}, {"lr": 2.0})


def test_a_sweep_replaces_the_grid_and_keeps_the_rest() -> None:
    declared = fit.map(grid={"lr": [1, 2]}, items_per_job=4, on_item_failure="drop")
    (swept,), _ = with_sweeps([declared], {"fit": [{"lr": 3}]})
    assert swept.mapping is not None
    assert (swept.mapping.rows, swept.mapping.items_per_job) == (({"lr": 3},), 4)
    assert swept.mapping.on_item_failure == "drop"


def test_mistakes_in_sweeps_are_all_reported() -> None:
    over = step(name="over", outputs=["o"])(lambda shard: shard).map(over="shards")
    steps, problems = with_sweeps([fit, over], {"fti": [{"lr": 1}], "over": [{"lr": 1}]})
    assert steps == (fit, over)
    assert [problem.what for problem in problems] == [
        "No step 'fti' for a sweep",
        "Step 'over' can't be swept",
    ]
    assert "did you mean 'fit'" in problems[0].fix
