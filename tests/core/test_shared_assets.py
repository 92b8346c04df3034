"""Assets that steps in different branches of one decision produce."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from flowyml_aws import If, Pipeline, Skipped, Step, Switch, approval, step
from flowyml_aws.core.binding import bind_steps
from flowyml_aws.core.build import BuiltPipeline, build_pipeline
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.known_skips import known_skips
from flowyml_aws.planning.cases import ALWAYS
from flowyml_aws.planning.held import deciding_steps, required_cases

NAMES = ("model:large", "model:small")


def a_step(name: str, *inputs: str, **options: Any) -> Step:
    return step(name=name, inputs=inputs, **options)(lambda **values: 1)


def branches(**options: Any) -> tuple[Step, Step]:
    """Return two steps that produce `model`."""
    return tuple(a_step(n, outputs=["model"], **options) for n in ("large", "small"))  # type: ignore[return-value]


@step(inputs=["model"])
def judge(model: int) -> int:
    return model


def build(*flows: Any, readers: Any = (judge,)) -> tuple[BuiltPipeline | None, list[FlowymlError]]:
    pipeline = Pipeline("p").add_step(a_step("score"))
    for flow in flows:
        pipeline.add_control_flow(flow)
    return build_pipeline(bind_steps(pipeline.add_steps(readers).all_steps), ())


def graph_of(*flows: Any, readers: Any = (judge,)) -> StepGraph:
    built, problems = build(*flows, readers=readers)
    assert built is not None, problems
    return built.graph


def chosen(score: int) -> bool:
    return score > 0


def call(graph: StepGraph, name: str, assets: Mapping[str, Any]) -> Any:
    bound = graph.bound[name]
    return bound.function.arguments.call(bound.step.func, assets, {})


def test_each_branch_has_an_asset_of_its_own_and_a_reader_waits_for_both() -> None:
    graph = graph_of(If(chosen, *branches()))
    assert [graph.producers[name] for name in NAMES] == ["large", "small"]
    assert "model" not in graph.producers
    assert graph.parents["judge"] == ("large", "small")
    assert graph.reads["judge"] == NAMES
    (reader,) = (each for each in graph.steps if each.name == "judge")
    assert reader.inputs == NAMES


def test_a_reader_gets_the_asset_of_the_branch_that_was_taken() -> None:
    graph = graph_of(If(chosen, *branches()))
    absent = Skipped(NAMES[0], "not taken")
    assert call(graph, "judge", {NAMES[0]: absent, NAMES[1]: 7}) == 7
    assert call(graph, "judge", {NAMES[0]: 6, NAMES[1]: absent}) == 6


def test_a_reader_that_allows_it_learns_that_no_branch_was_taken() -> None:
    @step(inputs=["model"])
    def optional(model: int | Skipped) -> int | Skipped:
        return model

    graph = graph_of(If(chosen, *branches()), readers=[optional])
    absent = {name: Skipped(name, "not taken") for name in NAMES}
    assert call(graph, "optional", absent) == Skipped("model", "not taken")
    assert graph.bound["optional"].needed_of_branches == ()


def test_a_reader_is_skipped_if_all_branches_are() -> None:
    switch = Switch(chosen, name="s").case(1, branches()[0]).case(2, branches()[1])
    graph = graph_of(switch)
    assert "judge" not in known_skips(graph, {"switch:s": "1"})
    assert known_skips(graph, {"switch:s": "(none)"}).keys() == {"large", "small", "judge"}


@pytest.mark.parametrize(("default", "deciding"), [(False, {"switch:s"}), (True, set())])
def test_a_reader_can_be_skipped_only_if_a_case_has_no_branch(
    default: bool, deciding: set[str]
) -> None:
    large, small = branches()
    switch = Switch(chosen, name="s").case(1, large)
    switch = switch.default(small) if default else switch.case(2, small)
    graph = graph_of(switch)
    assert deciding_steps(graph).get("judge", frozenset()) == deciding
    assert required_cases(graph).get("judge", ALWAYS) == ALWAYS


def test_an_approval_of_the_asset_is_about_both() -> None:
    release = approval("release", inputs=["model"])
    graph = graph_of(If(chosen, *branches()), readers=[release, a_step("deploy", "release")])
    assert graph.gates["release"].inputs == NAMES
    assert graph.reads["deploy"] == NAMES


def test_a_later_decision_reads_the_asset_by_name_or_by_step() -> None:
    by_name = If(lambda model: model, a_step("x"), name="by_name")
    by_step = If(lambda ctx: ctx.steps["small"].outputs["model"], a_step("y"), name="by_step")
    graph = graph_of(If(chosen, *branches()), by_name, by_step)
    assert graph.reads["if:by_name"] == NAMES
    view = graph.bound["if:by_step"].function.arguments.view
    assert view is not None
    assert view.all_assets == ("model:small",)


def test_branches_of_a_sub_pipeline_can_share_an_exposed_asset() -> None:
    inner = Pipeline("inner").add_step(a_step("score"))
    inner.add_control_flow(If(chosen, *branches())).add_step(judge)
    pipeline = Pipeline("p").add_sub_pipeline(inner, name="web", outputs=["model"])
    steps = pipeline.add_step(a_step("later", "model")).all_steps
    built, problems = build_pipeline(bind_steps(steps), ())
    assert built is not None, problems
    assert built.graph.reads["later"] == ("model:web/large", "model:web/small")
    assert built.graph.reads["web/judge"] == ("model:web/large", "model:web/small")


@pytest.mark.parametrize(
    ("flow", "what"),
    [
        (
            If(chosen, list(branches())),
            "Duplicate asset 'model': it comes from both 'large' and 'small'",
        ),
        (
            If(chosen, *(each.map(grid={"n": [1]}) for each in branches())),
            "Duplicate asset 'model': it comes from both 'large' and 'small'",
        ),
        (
            If(lambda ctx: ctx["model"], a_step("x"), name="view"),
            "Step 'if:view' can't read 'model', which several branches produce",
        ),
    ],
    ids=["same branch", "maps", "view"],
)
def test_what_is_impossible_is_an_error(flow: Any, what: str) -> None:
    flows = [flow] if flow.name is None else [If(chosen, *branches()), flow]
    built, problems = build(*flows)
    assert built is None
    assert [problem.what for problem in problems] == [what]


def test_a_map_over_such_a_list_is_an_error() -> None:
    built, problems = build(If(chosen, *branches()), readers=[a_step("m").map(over="model")])
    assert built is None
    assert problems[0].what == "Step 'm' can't read 'model', which several branches produce"
