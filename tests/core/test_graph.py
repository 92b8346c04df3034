from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given

from flowyml_aws import NodeAffinity, Pipeline, ResourceRequirements, Step, step
from flowyml_aws.core.errors import (
    AffinityConflictError,
    DependencyCycleError,
    DuplicateAssetError,
    DuplicateStepError,
    FlowymlError,
    InvalidPipelineError,
    InvalidQuantityError,
    InvalidStepError,
    MissingArgumentError,
    UndefinedAssetError,
    UnknownGpuError,
)
from flowyml_aws.core.graph import StepGraph, read_graph
from flowyml_aws.core.parameters import missing_arguments
from tests.core.graphs import a_step, steps_of_a_pipeline


def graph_of(*declared: Step, inputs: Sequence[str] = ()) -> StepGraph:
    graph, problems = read_graph(declared, inputs)
    assert problems == []
    assert graph is not None
    return graph


def problems_of(*declared: Step, inputs: Sequence[str] = ()) -> list[FlowymlError]:
    return read_graph(declared, inputs)[1]


def order_of(*declared: Step) -> list[str]:
    return [made.name for made in graph_of(*declared).steps]


def order_by_the_rule(declared: Sequence[Step]) -> list[str]:
    """The rule of the running order, word by word and slowly."""
    done: list[str] = []
    group = None
    while len(done) < len(declared):
        ready = [s for s in declared if s.name not in done and set(s.inputs) <= set(done)]
        of_group = [s for s in ready if group is not None and s.execution_group == group]
        chosen = (of_group or ready)[0]
        done.append(chosen.name)
        group = chosen.execution_group
    return done


@given(steps_of_a_pipeline())
def test_the_running_order_follows_its_rule(declared: list[Step]) -> None:
    assert order_of(*declared) == order_by_the_rule(declared)


@given(steps_of_a_pipeline())
def test_every_step_stands_behind_its_parents(declared: list[Step]) -> None:
    graph = graph_of(*declared)
    position = {made.name: at for at, made in enumerate(graph.steps)}
    assert position.keys() == {made.name for made in declared}
    for made in declared:
        assert set(graph.parents[made.name]) == set(made.inputs)
        assert all(position[parent] < position[made.name] for parent in made.inputs)
        assert sorted(graph.parents[made.name], key=position.__getitem__) == list(
            graph.parents[made.name]
        )


def test_the_order_of_declaration_breaks_ties() -> None:
    assert order_of(a_step("c"), a_step("a"), a_step("b")) == ["c", "a", "b"]


def test_assets_decide_before_the_order_of_declaration() -> None:
    assert order_of(a_step("b", ["a"]), a_step("a")) == ["a", "b"]


def test_a_group_is_not_left_while_one_of_its_steps_is_ready() -> None:
    assert order_of(
        a_step("a", group="g"), a_step("x"), a_step("b", ["a"], group="g"), a_step("y")
    ) == ["a", "b", "x", "y"]


def test_a_group_is_left_where_its_next_step_waits_for_another() -> None:
    assert order_of(a_step("a", group="g"), a_step("x"), a_step("b", ["x"], group="g")) == [
        "a",
        "x",
        "b",
    ]


def test_an_asset_that_the_run_brings_along_needs_no_producer() -> None:
    graph = graph_of(a_step("b", ["raw"]), inputs=["raw"])
    assert (graph.given, graph.parents["b"]) == (frozenset({"raw"}), ())


def test_a_condition_waits_for_the_assets_that_it_names() -> None:
    graph = graph_of(a_step("train", condition=lambda quality: quality > 1), a_step("quality"))
    assert [made.name for made in graph.steps] == ["quality", "train"]
    assert graph.reads["train"] == ("quality",)


def test_a_condition_does_not_wait_for_its_own_step() -> None:
    assert graph_of(a_step("train", condition=lambda train: train)).reads["train"] == ()


def test_a_cycle_is_an_error_that_shows_it() -> None:
    (problem,) = problems_of(a_step("a", ["c"]), a_step("b", ["a"]), a_step("c", ["b"]))
    assert isinstance(problem, DependencyCycleError)
    circle = problem.what.removeprefix("Steps wait for each other: ").split(" → ")
    assert circle[0] == circle[-1]
    assert "".join(circle) in "abcabca"


def test_a_step_that_reads_its_own_output_is_a_cycle() -> None:
    (problem,) = problems_of(a_step("a", ["a"]))
    assert problem.what == "Steps wait for each other: a → a"


def test_cycles_apart_from_each_other_are_all_told() -> None:
    problems = problems_of(
        a_step("a", ["b"]), a_step("b", ["a"]), a_step("c", ["d"]), a_step("d", ["c"])
    )
    assert [type(problem) for problem in problems] == [DependencyCycleError] * 2


def test_a_condition_can_close_a_cycle() -> None:
    (problem,) = problems_of(a_step("a", condition=lambda b: b), a_step("b", ["a"]))
    assert isinstance(problem, DependencyCycleError)


def test_an_undefined_asset_is_an_error_with_the_nearest_names() -> None:
    (problem,) = problems_of(a_step("features"), a_step("train", ["feature"]))
    assert isinstance(problem, UndefinedAssetError)
    assert "'train' reads 'feature'" in problem.what
    assert "'features'" in problem.fix


def test_many_undefined_assets_make_a_report_that_can_be_read() -> None:
    declared = [a_step(f"step_{n}", [f"missing_{n}"]) for n in range(2000)]
    problems = problems_of(*declared)
    assert len(problems) == 2000
    assert max(len(str(problem)) for problem in problems) < 2000


def test_an_asset_with_two_producers_is_an_error_that_names_both() -> None:
    (problem,) = problems_of(step(outputs=["m"], name="a")(min), step(outputs=["m"], name="b")(min))
    assert isinstance(problem, DuplicateAssetError)
    assert problem.what == "Asset 'm' is produced by 'a' and by 'b'"


def test_an_asset_that_the_run_brings_and_a_step_produces_is_an_error() -> None:
    (problem,) = problems_of(a_step("raw"), inputs=["raw"])
    assert isinstance(problem, DuplicateAssetError)


def test_two_steps_of_one_name_are_an_error() -> None:
    first, second = (step(outputs=[asset], name="train")(min) for asset in "ab")
    (problem,) = problems_of(first, second)
    assert isinstance(problem, DuplicateStepError)


def test_a_step_added_twice_is_one_error() -> None:
    made = a_step("a")
    (problem,) = problems_of(made, made)
    assert isinstance(problem, DuplicateStepError)


def test_steps_of_one_name_that_read_each_other_are_no_cycle() -> None:
    first = step(outputs=["x"], name="train")(min)
    second = step(inputs=["x"], outputs=["y"], name="train")(min)
    assert [type(problem) for problem in problems_of(first, second)] == [DuplicateStepError]


def test_a_pipeline_reports_all_its_mistakes_at_once() -> None:
    east, west = (
        ResourceRequirements(node_affinity=NodeAffinity({"zone": zone})) for zone in ("e", "w")
    )
    pipeline = Pipeline("wrong").add_steps(
        [
            a_step("a", retry=-1),
            a_step("b", resources={"memory": "much"}),
            a_step("c", resources={"gpu": {"gpu_type": "a1000"}}),
            a_step("d", ["nothing"]),
            step(outputs=["a"], name="e")(min),
            a_step("f", group="g", resources=east),
            a_step("h", group="g", resources=west),
        ]
    )
    with pytest.raises(InvalidPipelineError) as caught:
        pipeline.build()
    assert [type(problem) for problem in caught.value.problems] == [
        InvalidStepError,
        InvalidQuantityError,
        UnknownGpuError,
        DuplicateAssetError,
        UndefinedAssetError,
        AffinityConflictError,
    ]
    assert "6 problems" in str(caught.value)


def test_a_cycle_and_other_mistakes_come_in_one_report() -> None:
    kinds = [
        type(problem)
        for problem in problems_of(
            a_step("a", ["b"]),
            a_step("b", ["a"]),
            a_step("c", ["nothing"]),
            step(outputs=["m"], name="d")(min),
            step(outputs=["n"], name="d")(min),
        )
    ]
    assert kinds == [DuplicateStepError, UndefinedAssetError, DependencyCycleError]


@pytest.mark.parametrize(
    ("function", "inputs", "missing"),
    [
        (lambda data, rate: None, ["data"], ["rate"]),
        (lambda data, *, rate: None, ["data"], ["rate"]),
        (lambda a, b: None, [], ["a", "b"]),
        (lambda data, rate=1, *more, **others: None, ["data"], []),
    ],
)
def test_a_parameter_that_nothing_fills_is_an_error(
    function: Any, inputs: list[str], missing: list[str]
) -> None:
    made = step(name="train", inputs=inputs)(function)
    problems = missing_arguments(graph_of(made, inputs=inputs), {})
    assert [type(problem) for problem in problems] == [MissingArgumentError] * len(missing)
    for problem, parameter in zip(problems, missing, strict=True):
        assert f"'train' lacks a value for {parameter!r}" in problem.what


def test_a_parameter_in_the_context_is_not_missing() -> None:
    made = step(name="train")(lambda rate: rate)
    assert missing_arguments(graph_of(made), {"rate": 1}) == []


def test_a_misspelt_parameter_is_told_with_the_nearest_name() -> None:
    made = step(name="train")(lambda learning_rat: None)
    (problem,) = missing_arguments(graph_of(made), {"learning_rate": 1})
    assert "'learning_rate'" in problem.what


def test_a_condition_that_asks_for_what_nobody_has_is_an_error_that_says_so() -> None:
    made = step(name="train", condition=lambda acuracy: True)(lambda: None)
    (problem,) = missing_arguments(graph_of(made), {})
    assert "(its condition)" in problem.what
