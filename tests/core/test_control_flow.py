"""If and Switch: the steps that they become, and their mistakes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flowyml_aws import If, Pipeline, Step, Switch, step
from flowyml_aws.core.binding import bind_step
from flowyml_aws.core.branches import Branch
from flowyml_aws.core.errors import InvalidPipelineError, InvalidStepError
from flowyml_aws.core.graph import read_graph
from flowyml_aws.core.parameters import missing_arguments

THRESHOLD_ASSET = "accuracy"


def a_step(name: str, *inputs: str, outputs: tuple[str, ...] = ()) -> Step:
    return step(name=name, inputs=inputs, outputs=outputs)(lambda *values: None)


def evaluate() -> Step:
    return a_step("evaluate", outputs=("accuracy", "table"))


def lowered(flow: Any, *before: Step, context: Any = None) -> dict[str, Step]:
    pipeline = Pipeline("p", context).add_steps(before or [evaluate()]).add_control_flow(flow)
    return {each.name: each for each in pipeline.all_steps}


def mistakes(pipeline: Pipeline) -> list[str]:
    with pytest.raises(InvalidPipelineError) as caught:
        pipeline.build()
    return [f"{each.what} {each.fix}" for each in caught.value.problems]


def mistake(flow: Any, *others: Step) -> str:
    (only,) = mistakes(Pipeline("p").add_steps([evaluate(), *others]).add_control_flow(flow))
    return only


def test_an_if_becomes_a_decision_and_steps_with_a_branch() -> None:
    flow = If(lambda accuracy: accuracy > 0.9, a_step("deploy"), [a_step("tune"), a_step("train")])
    steps = lowered(flow)
    assert list(steps) == ["evaluate", "if:deploy", "deploy", "tune", "train"]
    assert (steps["if:deploy"].inputs, steps["if:deploy"].cases) == (
        ("accuracy",),
        ("then", "else"),
    )
    assert steps["deploy"].branch == Branch("if:deploy", "then")
    assert steps["train"].branch == Branch("if:deploy", "else")


def test_branches_can_be_added_later_with_then_and_else() -> None:
    flow = If(lambda accuracy: accuracy > 0.9, name="quality").then(a_step("a")).else_(a_step("b"))
    steps = lowered(flow)
    assert [steps[name].branch for name in "ab"] == [
        Branch("if:quality", "then"),
        Branch("if:quality", "else"),
    ]


@pytest.mark.parametrize(("value", "case"), [(0.95, "then"), ([], "else"), (None, "else")])
def test_the_truth_of_a_condition_chooses_the_case(value: Any, case: str) -> None:
    decision = lowered(If(lambda accuracy: accuracy, a_step("deploy")))["if:deploy"]
    assert decision.split_outputs(value) == {"if:deploy": case}


def test_a_switch_takes_steps_as_decorator_and_as_argument() -> None:
    switch = Switch(lambda table: table, name="kind")

    @switch.case("image")
    @step
    def images() -> None: ...

    assert switch.case(2, a_step("two")).default(a_step("rest")) is switch
    steps = lowered(switch)
    decision = steps["switch:kind"]
    assert decision.cases == ("image", "2", "default")
    assert steps["images"].branch == Branch("switch:kind", "image")
    values: list[Any] = ["image", 2, "2", []]
    chosen = [decision.split_outputs(value)["switch:kind"] for value in values]
    assert chosen == ["image", "2", "default", "default"]


def test_a_switch_without_a_default_may_choose_no_case() -> None:
    switch = Switch(lambda table: table).case("1", a_step("text")).case(1, a_step("number"))
    decision = lowered(switch)["switch:text"]
    assert decision.cases == ("1", "1 (int)", "(none)")
    assert decision.split_outputs("other") == {"switch:text": "(none)"}


def test_the_values_of_cases_count_in_the_cache_key_of_the_decision() -> None:
    def additions(value: str) -> Any:
        return lowered(Switch(good).case(value, a_step("s")))["switch:s"].cache_on

    assert additions("a") != additions("b")


def outputs_of(name: str) -> Callable[[Any], Any]:
    return lambda ctx: ctx.steps["evaluate"].outputs[name]


def nested(ctx: Any) -> bool:
    return any(value > ctx.params["limit"] for value in [ctx["accuracy"]])


def helped(ctx: Any) -> bool:
    return nested(ctx)


@pytest.mark.parametrize(
    ("condition", "assets", "context"),
    [
        (lambda ctx: ctx.steps["evaluate"].outputs["accuracy"] > 0.9, ("accuracy",), ()),
        (lambda ctx: ctx.steps["evaluate"].outputs, ("accuracy", "table"), ()),
        (lambda ctx: ctx["table"], ("table",), ()),
        (lambda ctx: ctx[THRESHOLD_ASSET], ("accuracy",), ()),
        (lambda ctx: ctx["limit"] > 1, (), ("limit",)),
        (lambda ctx: ctx.params.get("limit", 1) > 1, (), ("limit",)),
        (lambda ctx: len(ctx.params) > 1, (), ("limit", "other")),
        (lambda ctx: True, (), ()),
        (lambda ctx: ctx.params["limit"] == "evaluate", (), ("limit",)),
        (outputs_of("accuracy"), ("accuracy",), ()),
        (nested, ("accuracy",), ("limit",)),
        (helped, ("accuracy",), ("limit",)),
        (lambda ctx: list(ctx.steps), ("first", "accuracy", "table"), ()),
    ],
)
def test_a_view_contains_what_the_code_of_the_condition_names(
    condition: Any, assets: tuple[str, ...], context: tuple[str, ...]
) -> None:
    flow = If(condition, a_step("deploy"))
    steps = lowered(flow, a_step("first"), evaluate(), context={"limit": 2, "other": 3})
    view = steps["if:deploy"].view
    assert view is not None
    assert (view.all_assets, tuple(view.context)) == (assets, context)
    assert steps["if:deploy"].inputs == assets


def with_fallback(ctx: Any) -> float:
    try:
        return float(ctx.steps["evaluate"].outputs["loss"])
    except KeyError:
        return 0.0


@pytest.mark.parametrize(
    "condition",
    [
        lambda ctx: (
            "loss" in ctx.steps["evaluate"].outputs and ctx.steps["evaluate"].outputs["loss"] > 1
        ),
        with_fallback,
    ],
)
def test_a_condition_may_look_for_an_output_that_does_not_exist(condition: Any) -> None:
    assert "if:deploy" in lowered(If(condition, a_step("deploy")))


def test_a_view_of_all_steps_contains_those_that_do_not_depend_on_the_branch() -> None:
    pipeline = Pipeline("p").add_step(a_step("report", "deploy")).add_step(evaluate())
    pipeline.add_control_flow(If(lambda ctx: ctx.steps, a_step("deploy"))).add_step(a_step("later"))
    view = {each.name: each for each in pipeline.all_steps}["if:deploy"].view
    assert view is not None
    assert list(view.steps) == ["evaluate"]
    assert view.optional


@pytest.mark.parametrize(
    "condition", [lambda acuracy: acuracy > 0.9, lambda acuracy: acuracy.mean > 0.9]
)
def test_a_mistyped_parameter_is_not_a_view(condition: Any) -> None:
    decision = lowered(If(condition, a_step("deploy")))["if:deploy"]
    assert decision.view is None
    graph, _ = read_graph([evaluate(), decision])
    assert graph is not None
    (problem,) = missing_arguments(graph, ())
    assert problem.what == "The condition of 'if:deploy' has no value for 'acuracy'"
    assert problem.fix == "did you mean 'accuracy'?"


def test_a_context_value_that_a_view_reads_is_missing_until_the_run_has_it() -> None:
    decision = lowered(If(lambda ctx: ctx.params["thresh"] > 1, a_step("deploy")))["if:deploy"]
    bound = bind_step(decision, (), {"threshold": 2})
    assert (bound.function.missing, bound.context) == (("thresh",), set())
    graph, _ = read_graph([evaluate(), decision], context={"threshold": 2})
    assert graph is not None
    (problem,) = missing_arguments(graph, {"threshold": 2})
    assert problem.fix == "did you mean 'threshold'?"


def test_a_plain_function_becomes_a_step_that_reads_assets_by_name() -> None:
    def deploy(accuracy: float, region: str) -> None: ...

    steps = lowered(If(lambda accuracy: accuracy, deploy), context={"region": "eu"})
    assert steps["deploy"].inputs == ("accuracy",)


def good(accuracy: float) -> bool:
    return accuracy > 0.9


@pytest.mark.parametrize(
    ("flow", "words"),
    [
        (If(good), "If 'if:condition' has no branch add one: .then(STEP)"),
        (Switch(good), "Switch 'switch:selector' has no branch add one: .case("),
        (
            If(0.9, a_step("a")),  # type: ignore[arg-type]
            "Invalid condition 0.9",
        ),
        (If(good, "a"), "Expected a step for then, got 'a' put @step above the function"),
        (If(good, If(good, a_step("a"))), "add it with add_control_flow, too; if its condition"),
        (If(good, Pipeline("sub")), "add it with add_sub_pipeline, and connect it"),
        (If(good, a_step("a"), []), "else is an empty list"),
        (Switch(good).case(1, a_step("a")).case(1, a_step("b")), "several cases for 1"),
        (Switch(good).case([1], a_step("a")), "Invalid case [1]"),
        (Switch(type).default(a_step("a")), "The selector of 'switch:a' has no signature"),
        (
            If(lambda ctx: ctx.steps["evaluate_"].outputs["accuracy"], a_step("a")),
            "The condition of 'if:a' reads step 'evaluate_', which does not exist "
            "did you mean 'evaluate'?",
        ),
        (
            If(lambda ctx: ctx.steps["evaluate"].outputs["acuracy"] > 0.9, a_step("a")),
            "The condition of 'if:a' reads output 'acuracy' of step 'evaluate', which does not "
            "exist did you mean 'accuracy'?",
        ),
    ],
)
def test_a_mistake_in_a_control_flow_is_in_the_report(flow: Any, words: str) -> None:
    assert words in mistake(flow)


def test_a_step_is_in_one_branch_and_not_in_the_pipeline_as_well() -> None:
    deploy = a_step("deploy")
    assert "is in several branches: then of 'if:deploy'" in mistake(If(good, deploy, deploy))
    assert "was also added with add_step" in mistake(If(good, deploy), deploy)


def test_only_control_flows_are_added_as_such() -> None:
    with pytest.raises(InvalidStepError, match="Expected an If or a Switch"):
        Pipeline("p").add_control_flow(a_step("deploy"))  # type: ignore[arg-type]
