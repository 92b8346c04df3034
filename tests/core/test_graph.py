from __future__ import annotations

from collections.abc import Sequence

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
    UndefinedAssetError,
    UnknownGpuError,
)
from flowyml_aws.core.graph import StepGraph, read_graph
from tests.core.graphs import a_step, steps_of_a_pipeline


def graph_of(*declared: Step, inputs: Sequence[str] = ()) -> StepGraph:
    graph, problems = read_graph(declared, inputs)
    assert problems == []
    assert graph is not None
    return graph


def problems_of(*declared: Step, inputs: Sequence[str] = ()) -> list[FlowymlError]:
    return read_graph(declared, inputs)[1]


def order_of(*declared: Step) -> list[str]:
    return [s.name for s in graph_of(*declared).steps]


def expected_order(declared: Sequence[Step]) -> list[str]:
    """Return the running order by a simple, slow implementation of its rule."""
    done: list[str] = []
    group = None
    while len(done) < len(declared):
        ready = [s for s in declared if s.name not in done and set(s.inputs) <= set(done)]
        in_group = [s for s in ready if group is not None and s.execution_group == group]
        chosen = (in_group or ready)[0]
        done.append(chosen.name)
        group = chosen.execution_group
    return done


@given(steps_of_a_pipeline())
def test_the_running_order_follows_its_rule(declared: list[Step]) -> None:
    assert order_of(*declared) == expected_order(declared)


@given(steps_of_a_pipeline())
def test_every_step_comes_after_its_parents(declared: list[Step]) -> None:
    graph = graph_of(*declared)
    position = {s.name: number for number, s in enumerate(graph.steps)}
    assert position.keys() == {s.name for s in declared}
    for s in declared:
        parents = graph.parents[s.name]
        assert set(parents) == set(s.inputs)
        assert all(position[parent] < position[s.name] for parent in s.inputs)
        assert sorted(parents, key=position.__getitem__) == list(parents)


def test_declaration_order_breaks_ties() -> None:
    assert order_of(a_step("c"), a_step("a"), a_step("b")) == ["c", "a", "b"]


def test_dependencies_take_precedence_over_declaration_order() -> None:
    assert order_of(a_step("b", ["a"]), a_step("a")) == ["a", "b"]


def test_a_group_is_not_left_while_one_of_its_steps_is_ready() -> None:
    assert order_of(
        a_step("a", group="g"), a_step("x"), a_step("b", ["a"], group="g"), a_step("y")
    ) == ["a", "b", "x", "y"]


def test_a_group_is_split_if_its_next_step_depends_on_a_step_outside_it() -> None:
    assert order_of(a_step("a", group="g"), a_step("x"), a_step("b", ["x"], group="g")) == [
        "a",
        "x",
        "b",
    ]


def test_an_external_input_needs_no_producer() -> None:
    graph = graph_of(a_step("b", ["raw"]), inputs=["raw"])
    assert (graph.external_inputs, graph.parents["b"]) == (frozenset({"raw"}), ())


def test_a_condition_waits_for_the_assets_that_it_names() -> None:
    graph = graph_of(a_step("train", condition=lambda quality: quality > 1), a_step("quality"))
    assert [s.name for s in graph.steps] == ["quality", "train"]
    assert graph.reads["train"] == ("quality",)


def test_a_condition_does_not_wait_for_its_own_step() -> None:
    assert graph_of(a_step("train", condition=lambda train: train)).reads["train"] == ()


def test_a_cycle_is_an_error_that_shows_it() -> None:
    (problem,) = problems_of(a_step("a", ["c"]), a_step("b", ["a"]), a_step("c", ["b"]))
    assert isinstance(problem, DependencyCycleError)
    cycle = problem.what.removeprefix("Dependency cycle: ").split(" → ")
    assert cycle[0] == cycle[-1]
    assert "".join(cycle) in "abcabca"


def test_a_step_that_reads_its_own_output_is_a_cycle() -> None:
    (problem,) = problems_of(a_step("a", ["a"]))
    assert problem.what == "Dependency cycle: a → a"


def test_independent_cycles_are_all_reported() -> None:
    problems = problems_of(
        a_step("a", ["b"]), a_step("b", ["a"]), a_step("c", ["d"]), a_step("d", ["c"])
    )
    assert [type(problem) for problem in problems] == [DependencyCycleError] * 2


def test_a_condition_can_close_a_cycle() -> None:
    (problem,) = problems_of(a_step("a", condition=lambda b: b), a_step("b", ["a"]))
    assert isinstance(problem, DependencyCycleError)


def test_the_error_for_an_undefined_asset_suggests_similar_names() -> None:
    (problem,) = problems_of(a_step("features"), a_step("train", ["feature"]))
    assert isinstance(problem, UndefinedAssetError)
    assert "'train' reads 'feature'" in problem.what
    assert "'features'" in problem.fix


def test_errors_for_many_undefined_assets_stay_short() -> None:
    declared = [a_step(f"step_{n}", [f"missing_{n}"]) for n in range(2000)]
    problems = problems_of(*declared)
    assert len(problems) == 2000
    assert max(len(str(problem)) for problem in problems) < 2000


def test_an_asset_with_two_producers_is_an_error_that_names_both() -> None:
    (problem,) = problems_of(step(outputs=["m"], name="a")(min), step(outputs=["m"], name="b")(min))
    assert isinstance(problem, DuplicateAssetError)
    assert problem.what == "Duplicate asset 'm': it comes from both 'a' and 'b'"


def test_an_external_input_that_a_step_produces_is_an_error() -> None:
    (problem,) = problems_of(a_step("raw"), inputs=["raw"])
    assert isinstance(problem, DuplicateAssetError)


def test_two_steps_with_one_name_are_an_error() -> None:
    first, second = (step(outputs=[asset], name="train")(min) for asset in "ab")
    (problem,) = problems_of(first, second)
    assert isinstance(problem, DuplicateStepError)


def test_a_step_added_twice_is_one_error() -> None:
    added = a_step("a")
    (problem,) = problems_of(added, added)
    assert isinstance(problem, DuplicateStepError)


def test_steps_with_one_name_that_read_each_other_are_not_a_cycle() -> None:
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


def test_a_cycle_and_other_mistakes_are_reported_together() -> None:
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


def test_a_step_runs_after_the_steps_that_it_only_waits_for() -> None:
    publish = a_step("publish", after=["report", "make"])
    make, report = a_step("make"), step(name="write", outputs=["report"])(lambda: 1)
    graph = graph_of(publish, report, make)
    assert [s.name for s in graph.steps] == ["write", "make", "publish"]
    assert graph.parents["publish"] == graph.after["publish"]
    assert set(graph.parents["publish"]) == {"write", "make"}
    assert graph.reads["publish"] == ()
    assert graph.only(["publish", "make"]).after == {"publish": ("make",)}


def test_a_step_can_wait_for_a_step_by_its_name() -> None:
    clean = step(name="clean", outputs=["rows"])(lambda: 1)
    graph = graph_of(a_step("publish", after="clean"), clean)
    assert graph.parents["publish"] == ("clean",)


def test_a_step_can_wait_for_an_external_input() -> None:
    assert graph_of(a_step("publish", after=["rows"]), inputs=["rows"]).parents == {"publish": ()}


def test_mistakes_in_after_are_reported() -> None:
    assert "waits for 'nothing', which no step produces" in str(
        problems_of(a_step("a", after=["nothing"]))[0]
    )
    (cycle,) = problems_of(a_step("a", after=["b"]), a_step("b", ["a"]))
    assert isinstance(cycle, DependencyCycleError)
    (duplicate,) = problems_of(a_step("a"), a_step("b", after=["a", "a"]))
    assert "after=('a', 'a')" in duplicate.what
    with pytest.raises(InvalidStepError, match="after"):
        a_step("a", after=[1])
