"""The jobs in which decisions run."""

from __future__ import annotations

from dataclasses import replace
from graphlib import TopologicalSorter

from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws import If, Pipeline, Step
from flowyml_aws.core.branches import Branch
from flowyml_aws.core.decision_places import place_decisions
from flowyml_aws.core.graph import StepGraph, read_graph
from flowyml_aws.core.step_grouping import StepGroup, group_steps
from tests.core.graphs import a_step, steps_of_a_pipeline


def decision(name: str, *reads: str) -> Step:
    return replace(a_step(name, reads), cases=("then", "else"))


def then(name: str, of: str, *reads: str, group: str | None = None) -> Step:
    return replace(a_step(name, reads, group), branch=Branch(of, "then"))


def other(name: str, of: str, *reads: str, group: str | None = None) -> Step:
    return replace(a_step(name, reads, group), branch=Branch(of, "else"))


def placed(*declared: Step) -> tuple[StepGraph, tuple[StepGroup, ...]]:
    graph, problems = read_graph(declared)
    assert graph is not None
    assert problems == []
    return graph, place_decisions(group_steps([s for s in graph.steps if not s.is_placed]), graph)


def jobs_of(*declared: Step) -> list[list[str]]:
    return [group.execution_order for group in placed(*declared)[1]]


def test_a_decision_runs_in_the_job_of_its_last_parent() -> None:
    assert jobs_of(a_step("a"), a_step("b", ["a"]), decision("d", "a", "b"), then("t", "d")) == [
        ["a"],
        ["b", "d"],
        ["t"],
    ]


def test_a_decision_does_not_split_the_group_of_its_parent() -> None:
    steps = a_step("a", (), "g"), a_step("b", (), "g"), decision("d", "a"), then("t", "d")
    assert jobs_of(*steps) == [["a", "d", "b"], ["t"]]


def test_a_decision_and_its_branch_can_be_in_one_group() -> None:
    steps = a_step("a", (), "g"), decision("d", "a"), then("t", "d", group="g"), other("e", "d")
    assert jobs_of(*steps) == [["a", "d", "t"], ["e"]]


def test_a_decision_with_parents_in_two_jobs_runs_in_the_first_job_of_its_branches() -> None:
    steps = a_step("a"), a_step("b"), decision("d", "a", "b"), then("t", "d"), other("e", "d")
    assert jobs_of(*steps) == [["a"], ["b"], ["d", "t"], ["e"]]


def test_a_decision_that_follows_another_one_is_placed_after_it() -> None:
    steps = a_step("a"), decision("c", "a"), decision("d", "a", "c"), then("t", "d"), then("u", "c")
    assert jobs_of(*steps) == [["a", "c", "d"], ["t"], ["u"]]


def test_a_decision_runs_after_the_decision_that_it_reads() -> None:
    steps = a_step("a"), a_step("b"), decision("d", "a", "b"), a_step("c", ["a", "b"])
    later = decision("e", "c", "d"), then("t", "d", "c"), then("u", "e")
    assert jobs_of(*steps, *later) == [["a"], ["b"], ["c"], ["d", "e", "t"], ["u"]]


def test_a_decision_between_maps_is_a_job_of_its_own() -> None:
    def condition(a: list[int]) -> bool:
        return len(a) > 1

    many = a_step("a", ["xs"]).map("xs")
    later = a_step("t", ["ys"]).map("ys")
    pipeline = (
        Pipeline("p").add_step(many).add_control_flow(If(condition, later)).build(["xs", "ys"])
    )
    assert pipeline._built is not None
    assert [group.execution_order for group in pipeline._built.groups] == [["a"], ["if:t"], ["t"]]


def test_a_decision_about_all_items_ends_a_group_of_maps() -> None:
    def condition(a: list[int]) -> bool:
        return len(a) > 1

    many = a_step("a", ["xs"], "g").map("xs")
    later = a_step("t", ["xs"], "g").map("xs")
    pipeline = Pipeline("p").add_step(many).add_control_flow(If(condition, later)).build(["xs"])
    assert pipeline._built is not None
    assert [group.execution_order for group in pipeline._built.groups] == [["a"], ["if:t"], ["t"]]


@st.composite
def pipelines_with_decisions(draw: st.DrawFn) -> list[Step]:
    """Steps in any order of declaration, some of them in branches of decisions."""
    steps = sorted(draw(steps_of_a_pipeline()), key=lambda each: each.name)
    made: list[Step] = []
    for number, each in enumerate(steps):
        before = [s.name for s in steps[:number]]
        decides, is_in_branch = draw(st.tuples(st.booleans(), st.booleans()))
        if before and decides:
            reads = draw(st.sets(st.sampled_from(before), max_size=2))
            made.append(decision(f"d{number}", *sorted(reads)))
        decisions = [s.name for s in made if s.cases]
        if decisions and is_in_branch:
            each = replace(each, branch=Branch(draw(st.sampled_from(decisions)), "then"))
        made.append(each)
    return draw(st.permutations(made))


def parents_of(graph: StepGraph, groups: tuple[StepGroup, ...]) -> dict[str, set[str]]:
    group_of = {step.name: group.group_name for group in groups for step in group.steps}
    return {
        group.group_name: {group_of[p] for step in group.steps for p in graph.parents[step.name]}
        - {group.group_name}
        for group in groups
    }


@given(pipelines_with_decisions())
def test_placed_decisions_keep_the_groups_and_an_order_of_jobs(declared: list[Step]) -> None:
    graph, groups = placed(*declared)
    users = group_steps([s for s in graph.steps if not s.is_placed])
    kept = [tuple(s for s in group.steps if not s.cases) for group in groups]
    assert [steps for steps in kept if steps] == [group.steps for group in users]
    assert sorted(s.name for g in groups for s in g.steps) == sorted(s.name for s in graph.steps)
    order = list(TopologicalSorter(parents_of(graph, groups)).static_order())
    assert len(order) == len(groups)
    ranks = {step.name: rank for rank, step in enumerate(graph.steps)}
    for group in groups:
        assert [ranks[s.name] for s in group.steps] == sorted(ranks[s.name] for s in group.steps)
    positions = {group.group_name: number for number, group in enumerate(groups)}
    for name, parents in parents_of(graph, groups).items():
        assert all(positions[parent] < positions[name] for parent in parents)
