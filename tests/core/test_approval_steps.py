"""Approvals in the graph of a pipeline: gates between its steps, and mistakes in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flowyml_aws import If, Pipeline, Step, approval, step
from flowyml_aws.core.binding import bind_steps
from flowyml_aws.core.build import BuiltPipeline, build_pipeline, expand_maps
from flowyml_aws.core.control_flow import AddedFlow
from flowyml_aws.core.errors import InvalidPipelineError, InvalidStepError
from flowyml_aws.core.gated_graph import without_open_gates
from flowyml_aws.core.inlining import inline
from flowyml_aws.core.lowering import lower


@step(outputs=["model"], execution_group="g")
def train() -> int:
    return 1


@step(inputs=["model"], outputs=["metrics"], execution_group="g")
def evaluate(model: int) -> int:
    return model


@step(inputs=["release"], execution_group="g")
def deploy(release: int) -> int:
    return release


@step(after=["release"])
def notify() -> None: ...


def built(*steps: Step) -> BuiltPipeline:
    pipeline, problems = build_pipeline(bind_steps(steps), ())
    assert pipeline is not None, problems
    return pipeline


def mistakes(*steps: Step) -> str:
    with pytest.raises(InvalidPipelineError) as error:
        Pipeline("p").add_steps(steps).build()
    return str(error.value)


def test_an_approval_is_a_gate_of_the_graph_and_not_a_step() -> None:
    release = approval("release", inputs=["model"], after=["metrics"])
    graph = built(train, evaluate, release, deploy).graph
    assert [each.name for each in graph.steps] == ["train", "evaluate", "deploy"]
    assert graph.gates["release"].after == ("train", "evaluate")
    assert graph.gated == {"deploy": ("release",)}
    assert graph.parents["deploy"] == ("train", "evaluate")


def test_a_reader_of_an_approval_reads_its_first_input() -> None:
    release = approval("release", inputs=["model", "metrics"])
    graph = built(train, evaluate, release, deploy).graph
    assert graph.reads["deploy"] == ("model",)
    arguments = graph.bound["deploy"].function.arguments
    assert arguments.call(deploy.func, {"model": 7}, {}) == 7


def test_a_condition_can_take_the_value_of_an_approval() -> None:
    last = step(name="last", after=["release"], condition=lambda release: release > 0)(lambda: 1)
    graph = built(train, approval("release", inputs=["model"]), last).graph
    assert graph.reads["last"] == ("model",)
    assert graph.gated["last"] == ("release",)


def test_an_approval_between_two_steps_of_a_group_splits_it() -> None:
    groups = built(train, evaluate, approval("release", inputs=["model"]), deploy).groups
    assert [(each.group_name, each.execution_order) for each in groups] == [
        ("g_0", ["train", "evaluate"]),
        ("g_1", ["deploy"]),
    ]


def test_an_approval_does_not_change_what_decides_a_cache_key() -> None:
    graph = built(train, evaluate, approval("release", inputs=["metrics"]), notify).graph
    assert graph.after == {}
    assert graph.reads["notify"] == ()


def test_an_approval_can_wait_for_another_one() -> None:
    first = approval("first", inputs=["model"])
    second = approval("release", inputs=["first"])
    graph = built(train, first, second, deploy).graph
    assert graph.gates["release"].inputs == ("model",)
    assert graph.gates["release"].approvals == ("first",)
    assert graph.gates["release"].after == ("train",)
    assert graph.gated == {"deploy": ("release",)}


def test_only_the_approvals_of_the_steps_that_run_remain() -> None:
    first = approval("first", inputs=["model"])
    second = approval("release", inputs=["first"])
    other = approval("other", inputs=["model"])
    last = step(name="last", after=["other"])(lambda: 1)
    graph = built(train, first, second, other, deploy, last).graph
    part = graph.only(["deploy"])
    assert list(part.gates) == ["first", "release"]
    assert part.gates["first"].after == ()
    assert graph.only(["train"]).gates == {}


def test_an_approval_of_a_map_waits_for_all_its_items() -> None:
    @step(outputs=["score"])
    def score(part: int) -> int:
        return part

    @step(inputs=["release"])
    def report(release: list[int]) -> int:
        return sum(release)

    mapped = score.map(rows=[{"part": 1}, {"part": 2}])
    pipeline = built(mapped, approval("release", inputs=["score"]), report)
    expanded, problems = expand_maps(pipeline, {})
    assert expanded is not None, problems
    graph = expanded.graph
    assert graph.gates["release"].after == ("score[0]", "score[1]")
    assert graph.reads["report"] == ("score[0]", "score[1]")
    assert graph.parents["report"] == ("score[0]", "score[1]")
    assert graph.gated == {"report": ("release",)}


def test_the_items_of_a_map_wait_for_an_approval() -> None:
    mapped = step(name="try_out", after=["release"])(lambda part: part).map(
        rows=[{"part": 1}, {"part": 2}]
    )
    pipeline = built(train, approval("release", inputs=["model"]), mapped)
    expanded, problems = expand_maps(pipeline, {})
    assert expanded is not None, problems
    assert expanded.graph.gated == {"try_out[0]": ("release",), "try_out[1]": ("release",)}
    assert expanded.graph.parents["try_out[1]"] == ("train",)


def test_an_approval_that_nothing_waits_for_is_a_mistake() -> None:
    found = mistakes(train, approval("release", inputs=["model"]))
    assert "No step waits for approval 'release'" in found
    assert 'after=["release"]' in found


def test_an_approval_that_waits_for_nothing_is_a_mistake() -> None:
    assert "Approval 'release' waits for nothing" in mistakes(train, approval("release"), notify)


def test_an_approval_without_inputs_has_no_value() -> None:
    found = mistakes(train, approval("release", after=["model"]), deploy)
    assert "Step 'deploy' reads 'release', which has no value" in found


def test_a_map_over_an_approval_is_a_mistake() -> None:
    mapped = step(name="each")(lambda release: release).map("release")
    found = mistakes(train, approval("release", inputs=["model"]), mapped)
    assert "Step 'each' maps over approval 'release'" in found
    assert "map over 'model'" in found


def test_an_approval_in_a_cycle_is_a_mistake() -> None:
    first = step(name="first", inputs=["release"])(lambda release: release)
    found = mistakes(first, approval("release", inputs=["first"]))
    assert "Dependency cycle: " in found


def test_a_mistyped_approval_is_suggested() -> None:
    last = step(name="last", inputs=["releases"])(lambda releases: releases)
    found = mistakes(train, approval("release", inputs=["model"]), last, notify)
    assert "did you mean 'release'" in found


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout": "soon"}, "Invalid argument timeout='soon'"),
        ({"timeout": 0}, "Invalid argument timeout=0"),
        ({"approver": 7}, "Invalid argument approver=7"),
        ({"inputs": [7]}, "inputs"),
        ({"auto_approve_if": True}, "Invalid argument auto_approve_if=True"),
    ],
)
def test_an_invalid_argument_is_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidStepError, match=message.replace("'", ".")):
        approval("release", **options)  # type: ignore[arg-type]


def test_the_arguments_may_be_single_names() -> None:
    made = approval("release", inputs="model", after="metrics")
    assert (made.inputs, made.after) == (("model",), ("metrics",))


def lowered(*steps: Step) -> BuiltPipeline:
    return built(*lower(steps, ())[0])


def test_the_condition_of_an_approval_is_a_decision_in_the_job_of_its_inputs() -> None:
    release = approval("release", inputs=["model"], auto_approve_if=lambda metrics: metrics > 0)
    pipeline = lowered(train, evaluate, release, deploy)
    assert [each.execution_order for each in pipeline.groups] == [
        ["train", "evaluate", "auto:release"],
        ["deploy"],
    ]
    gate = pipeline.graph.gates["release"]
    assert gate.rule.decision == "auto:release"
    assert gate.after == ("train", "auto:release")


def test_a_gate_is_open_if_its_condition_is_known_to_hold() -> None:
    release = approval("release", inputs=["model"], auto_approve_if=lambda model: model > 0)
    last = approval("last", inputs=["release"])
    final = step(name="final", after=["last"])(lambda: 1)
    graph = lowered(train, release, deploy, last, final).graph
    opened = without_open_gates(graph, {"auto:release": "then"})
    assert opened.gated == {"final": ("last",)}
    assert opened.gates["last"].approvals == ()
    assert without_open_gates(graph, {"auto:release": "else"}) is graph


def test_a_decision_after_an_approval_does_not_run_before_it() -> None:
    choose = If(lambda release: release > 0, notify)
    steps, problems = lower((train, approval("release", inputs=["model"])), [AddedFlow(choose, 2)])
    assert not problems
    pipeline = built(*steps)
    assert [each.execution_order for each in pipeline.groups] == [
        ["train"],
        ["if:notify", "notify"],
    ]


def test_a_condition_can_not_make_an_approval_wait_for_itself() -> None:
    release = approval("release", inputs=["model"], auto_approve_if=lambda last: last)
    last = step(name="last", inputs=["release"])(lambda release: release)
    steps, _ = lower((train, release, last), ())
    _, problems = build_pipeline(bind_steps(steps), ())
    assert "Dependency cycle: " in str(problems[0])


@pytest.mark.parametrize(
    "condition",
    [lambda ctx: ctx["release"] == 7, lambda ctx: ctx.steps["release"].outputs["release"] == 7],
    ids=["asset", "step"],
)
def test_a_view_contains_the_value_of_an_approval(condition: Callable[[Any], bool]) -> None:
    choose = If(condition, notify)
    steps, _ = lower((train, approval("release", inputs=["model"])), [AddedFlow(choose, 2)])
    graph = built(*steps).graph
    assert graph.reads["if:notify"] == ("model",)
    arguments = graph.bound["if:notify"].function.arguments
    assert arguments.call(condition, {"model": 7}, {})


def test_an_approval_of_a_sub_pipeline_has_the_names_of_the_sub_pipeline() -> None:
    release = approval("release", inputs=["model"], auto_approve_if=lambda model: model > 0)
    inner = Pipeline("inner").add_steps([train, release])
    use = step(name="use", inputs=["ok"])(lambda ok: ok)
    outer = Pipeline("outer").add_sub_pipeline(inner, "web", output_mapping={"release": "ok"})
    graph = built(*inline(outer.add_step(use)).steps).graph
    assert graph.gates["web/release"].inputs == ("web/model",)
    assert graph.gates["web/release"].rule.decision == "web/auto:release"
    assert graph.reads["use"] == ("web/model",)
    assert graph.gated == {"use": ("web/release",)}
