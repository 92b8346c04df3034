from __future__ import annotations

from graphlib import TopologicalSorter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws import GPUConfig, Pipeline, ResourceRequirements, Step, StepGroupAnalyzer, step
from flowyml_aws.core.errors import InvalidEnvironmentError, InvalidPipelineError
from flowyml_aws.core.graph import StepGraph, read_graph
from flowyml_aws.core.resources import merge_resources
from flowyml_aws.core.step_grouping import StepGroup, group_steps, parallel_steps
from tests.core.graphs import a_step, steps_of_a_pipeline

# Names that can collide with the names of split groups.
NAMES = ["g", "g_0", "g_1", "g_0_0", "h", "h_0"]
AWKWARD = steps_of_a_pipeline(
    groups=[None, None, "g", "g_0", "g_1", "h"],
    names=st.integers(1, len(NAMES)).flatmap(lambda n: st.permutations(NAMES).map(lambda p: p[:n])),
)


def grouped(declared: list[Step]) -> tuple[StepGraph, tuple[StepGroup, ...]]:
    graph, problems = read_graph(declared)
    assert graph is not None
    assert problems == []
    return graph, group_steps(graph.steps)


def names_of(*declared: Step) -> dict[str, list[str]]:
    return {group.group_name: group.execution_order for group in grouped(list(declared))[1]}


@given(steps_of_a_pipeline())
def test_every_step_is_in_one_group_and_the_order_is_kept(declared: list[Step]) -> None:
    graph, groups = grouped(declared)
    assert [s for group in groups for s in group.steps] == list(graph.steps)


@given(steps_of_a_pipeline())
def test_a_group_is_a_maximal_run_of_one_execution_group(declared: list[Step]) -> None:
    _, groups = grouped(declared)
    for group in groups:
        assert {s.execution_group for s in group.steps} == {group.execution_group}
        assert group.execution_group is not None or len(group.steps) == 1
    for before, after in pairwise(groups):
        assert before.execution_group is None or before.execution_group != after.execution_group


@given(steps_of_a_pipeline())
def test_the_graph_of_groups_is_acyclic(declared: list[Step]) -> None:
    graph, groups = grouped(declared)
    group_of = {s.name: group.group_name for group in groups for s in group.steps}
    parents = {
        group.group_name: {
            group_of[parent] for s in group.steps for parent in graph.parents[s.name]
        }
        - {group.group_name}
        for group in groups
    }
    assert len(list(TopologicalSorter(parents).static_order())) == len(groups)


@given(AWKWARD)
def test_group_names_are_unique_for_any_names_of_users(declared: list[Step]) -> None:
    _, groups = grouped(declared)
    assert len({group.group_name for group in groups}) == len(groups)


@given(AWKWARD)
def test_an_unsplit_group_keeps_its_name(declared: list[Step]) -> None:
    _, groups = grouped(declared)
    for group in groups:
        pieces = [g for g in groups if g.execution_group == group.execution_group]
        if group.execution_group is not None and len(pieces) == 1:
            assert group.group_name == group.execution_group


@given(steps_of_a_pipeline())
def test_the_resources_of_a_group_are_the_merged_resources_of_its_steps(
    declared: list[Step],
) -> None:
    for group in grouped(declared)[1]:
        required = [needs for s in group.steps if (needs := s.requirements()) is not None]
        assert group.aggregated_resources == merge_resources(required)


@given(steps_of_a_pipeline())
def test_a_group_has_steps_that_could_run_in_parallel_unless_it_is_a_chain(
    declared: list[Step],
) -> None:
    graph, groups = grouped(declared)
    for group in groups:
        names = group.execution_order
        ancestors: dict[str, set[str]] = {}
        for s in graph.steps:
            parents = graph.parents[s.name]
            ancestors[s.name] = {*parents, *(a for p in parents for a in ancestors[p])}
        can_run_in_parallel = any(
            a not in ancestors[b] for position, b in enumerate(names) for a in names[:position]
        )
        assert bool(parallel_steps(group, graph)) == can_run_in_parallel


def test_the_parts_of_a_split_group_are_numbered() -> None:
    assert names_of(a_step("a", group="g"), a_step("x", ["a"]), a_step("b", ["x"], group="g")) == {
        "g_0": ["a"],
        "x": ["x"],
        "g_1": ["b"],
    }


def test_numbers_skip_existing_group_names() -> None:
    assert names_of(
        a_step("a", group="g"),
        a_step("x", ["a"], group="g_0"),
        a_step("b", ["x"], group="g"),
    ) == {"g_1": ["a"], "g_0": ["x"], "g_2": ["b"]}


def test_interleaved_groups_split_instead_of_waiting_for_each_other() -> None:
    assert names_of(
        a_step("a", group="g"),
        a_step("b", ["a"], group="h"),
        a_step("c", ["b"], group="g"),
        a_step("d", ["c"], group="h"),
    ) == {"g_0": ["a"], "h_0": ["b"], "g_1": ["c"], "h_1": ["d"]}


def test_independent_steps_of_a_group_are_grouped_if_they_are_adjacent() -> None:
    assert names_of(a_step("a", group="g"), a_step("x"), a_step("b", group="g")) == {
        "g": ["a", "b"],
        "x": ["x"],
    }


def test_step_groups_shows_only_declared_groups() -> None:
    pipeline = Pipeline("p").add_steps([a_step("a", group="g"), a_step("x"), a_step("y", ["x"])])
    assert [group.group_name for group in pipeline.build().step_groups] == ["g"]


def test_step_groups_needs_no_explicit_build() -> None:
    assert len(Pipeline("p").add_step(a_step("a", group="g")).step_groups) == 1


def test_a_step_that_is_added_later_is_grouped_too() -> None:
    pipeline = Pipeline("p").add_step(a_step("a", group="g")).build()
    pipeline.add_step(a_step("b", ["a"], group="g"))
    assert pipeline.step_groups[0].execution_order == ["a", "b"]


def test_the_analyzer_returns_the_groups_of_the_pipeline() -> None:
    declared = [a_step("a", group="g"), a_step("x", ["a"]), a_step("b", ["x"], group="g")]
    pipeline = Pipeline("p").add_steps(declared)
    groups = StepGroupAnalyzer().analyze_groups(pipeline.dag, pipeline.steps)
    assert groups == pipeline.step_groups
    assert [group.group_name for group in groups] == ["g_0", "g_1"]


def test_the_analyzer_groups_mapped_steps_as_the_pipeline_does() -> None:
    load = step(outputs=["rows"], execution_group="g")(lambda: [1, 2])
    train = step(name="train", outputs=["model"], execution_group="g")(lambda row: row)
    pipeline = Pipeline("p").add_steps([load, train.map(over="rows")])
    groups = StepGroupAnalyzer().analyze_groups(pipeline.dag, pipeline.steps)
    assert groups == pipeline.step_groups
    assert len(groups) == 2


def test_the_analyzer_returns_only_the_steps_that_it_is_asked_for() -> None:
    first, second = a_step("a", group="g"), a_step("b", ["a"], group="g")
    pipeline = Pipeline("p").add_steps([first, second])
    (group,) = StepGroupAnalyzer().analyze_groups(pipeline.dag, [second])
    assert group.execution_order == ["b"]


def test_a_group_without_resources_has_none() -> None:
    assert grouped([a_step("a", group="g")])[1][0].aggregated_resources is None


def test_resources_declared_as_dict_and_as_object_are_merged() -> None:
    _, (group,) = grouped(
        [
            a_step("a", group="g", resources={"cpu": "4", "gpu": {"gpu_type": "t4"}}),
            a_step("b", ["a"], "g", resources=ResourceRequirements(gpu=GPUConfig("v100", 2))),
        ]
    )
    assert group.aggregated_resources == ResourceRequirements("4", gpu=GPUConfig("v100", 2))


def test_ten_thousand_steps_in_a_thousand_groups_are_grouped() -> None:
    declared = [
        a_step(f"s{n}", [f"s{n - 1}"] if n else [], f"g{n // 5 % 1000}") for n in range(10_000)
    ]
    _, groups = grouped(declared)
    assert len(groups) == 2000


def test_a_group_has_the_variables_of_all_its_steps_also_of_those_that_do_not_run() -> None:
    first = a_step("a", group="g", env={"A": "1", "C": "3"})
    second = a_step("b", ["a"], group="g", env={"B": "2", "C": "3"})
    (group,) = grouped([first, second])[1]
    assert group.environment == {"A": "1", "B": "2", "C": "3"}
    rest = group.only({"b"})
    assert rest is not None
    assert rest.environment == group.environment


def test_grouped_steps_that_give_a_variable_different_values_are_an_error_that_names_both() -> None:
    first = a_step("a", group="g", env={"LEVEL": "first value"})
    second = a_step("b", ["a"], group="g", env={"LEVEL": "second value"})
    with pytest.raises(InvalidPipelineError) as caught:
        Pipeline("p").add_steps([first, second]).build()
    (problem,) = caught.value.problems
    assert isinstance(problem, InvalidEnvironmentError)
    assert problem.what == "Steps 'a' and 'b' give environment variable 'LEVEL' different values"
    assert "group 'g'" in problem.why
    assert "value" not in problem.why  # a value may be a secret


def test_steps_of_different_groups_can_give_a_variable_different_values() -> None:
    steps = [
        a_step("a", group="g", env={"LEVEL": "1"}),
        a_step("b", ["a"], env={"LEVEL": "2"}),
        a_step("c", ["b"], group="g", env={"LEVEL": "3"}),
    ]
    environments = [group.environment for group in grouped(steps)[1]]
    assert environments == [{"LEVEL": "1"}, {"LEVEL": "2"}, {"LEVEL": "3"}]
