"""Pipelines whose steps become steps of another pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from flowyml_aws import Context, Env, If, Pipeline, Step, VersionedPipeline, step
from flowyml_aws.client.options import RunOptions
from flowyml_aws.client.request import RunRequest
from flowyml_aws.core.arguments import Arguments
from flowyml_aws.core.branches import Branch
from flowyml_aws.core.build import BuiltPipeline
from flowyml_aws.core.errors import FlowymlError, InvalidPipelineError, InvalidSubPipelineError
from flowyml_aws.core.inlining import inline
from flowyml_aws.core.parameters import missing_arguments
from flowyml_aws.core.sub_pipelines import SubPipeline


@step(inputs=["raw"], outputs=["rows"], execution_group="g")
def clean(raw: list[int], limit: int = 9) -> list[int]:
    return [value for value in raw if value < limit]


@step(inputs=["rows"], outputs=["total"], execution_group="g")
def add(rows: list[int]) -> int:
    return sum(rows)


@step(outputs=["raw"])
def load(size: int = 3) -> list[int]:
    return list(range(size))


@step(inputs=["total"], outputs=["report"])
def report(total: int) -> str:
    return f"total {total}"


def child(*steps: Step, name: str = "prepare", **options: Any) -> Pipeline:
    return Pipeline(name, **options).add_steps(steps or (clean, add))


def parent(*subs: Pipeline, before: Step | None = load, **context: Any) -> Pipeline:
    pipeline = Pipeline("whole", context)
    if before is not None:
        pipeline.add_step(before)
    for sub in subs:
        pipeline.add_sub_pipeline(sub)
    return pipeline


def built(pipeline: Pipeline, **options: Any) -> BuiltPipeline:
    """Return a pipeline as a run builds it, with the items of its maps."""
    request = request_of(pipeline, **options)
    made, problems = request.build()
    assert made is not None, problems
    assert not [*problems, *request.problems(made, None)]
    return made


def request_of(pipeline: Pipeline, **options: Any) -> RunRequest:
    content = inline(pipeline)
    return RunRequest(
        pipeline.name,
        content.steps,
        content.context,
        options=RunOptions(**options),
        mistakes=content.problems,
    )


def problems_of(pipeline: Pipeline, **options: Any) -> list[FlowymlError]:
    request = request_of(pipeline, **options)
    made, problems = request.build()
    return [*problems, *request.problems(made, None)]


def mistakes(pipeline: Pipeline, **options: Any) -> list[str]:
    return [problem.what for problem in problems_of(pipeline, **options)]


def wiring(made: BuiltPipeline) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    return {step.name: (step.inputs, step.assets) for step in made.graph.steps}


def context_of(made: BuiltPipeline) -> dict[str, dict[str, str]]:
    """Return the context value of each parameter, by step."""
    return {
        name: {p: a.name for p, a in bound.function.by_parameter.items() if a.source == "context"}
        for name, bound in made.graph.bound.items()
    }


# Names and connections


def test_steps_assets_and_groups_get_the_name_of_their_sub_pipeline() -> None:
    made = built(parent(child()).add_step(report))
    assert wiring(made) == {
        "load": ((), ("raw",)),
        "prepare/clean": (("raw",), ("prepare/rows",)),
        "prepare/add": (("prepare/rows",), ("total",)),
        "report": (("total",), ("report",)),
    }
    assert [group.group_name for group in made.groups] == ["load", "prepare/g", "report"]


def test_functions_get_their_arguments_as_in_their_own_pipeline() -> None:
    calls = {n: b.function.arguments for n, b in built(parent(child())).graph.bound.items()}
    alone = {n: b.function.arguments for n, b in built(child(), inputs=["raw"]).graph.bound.items()}
    assert calls["prepare/clean"] == alone["clean"]
    assert calls["prepare/add"] == alone["add"].with_assets({"rows": "prepare/rows"})


def test_mappings_connect_other_names() -> None:
    pipeline = Pipeline("whole").add_step(load)
    pipeline.add_sub_pipeline(child(), "a", input_mapping={"raw": "raw"}, outputs=["rows"])
    pipeline.add_sub_pipeline(
        child(), "b", input_mapping={"rows": "raw"}, output_mapping={"total": "sum", "rows": "kept"}
    )
    assert wiring(built(pipeline)) == {
        "load": ((), ("raw",)),
        "a/clean": (("raw",), ("rows",)),
        "a/add": (("rows",), ("a/total",)),
        "b/clean": (("rows",), ("kept",)),
        "b/add": (("kept",), ("sum",)),
    }


def test_an_output_can_be_named_by_its_step() -> None:
    pipeline = parent()
    pipeline.add_sub_pipeline(child(), output_mapping={"add": "sum"}, outputs=["sum"])
    assert wiring(built(pipeline))["prepare/add"][1] == ("sum",)


def test_two_uses_of_one_pipeline_never_share_a_group() -> None:
    pipeline = parent()
    for name in ("a", "b"):
        pipeline.add_sub_pipeline(child(), name, output_mapping={"total": f"{name}_total"})
    assert [g.group_name for g in built(pipeline).groups] == ["load", "a/g", "b/g"]


def test_steps_are_in_the_order_of_declaration_between_the_others() -> None:
    first, second, third = (step(name=name)(lambda: None) for name in "abc")
    pipeline = Pipeline("whole").add_step(first)
    pipeline.add_sub_pipeline(child(second)).add_step(third)
    assert [each.name for each in inline(pipeline).steps] == ["a", "prepare/b", "c"]
    assert [each.name for each in built(pipeline).graph.steps] == ["a", "prepare/b", "c"]


def test_sub_pipelines_can_be_nested() -> None:
    inner = child(name="inner")
    outer = Pipeline("outer").add_sub_pipeline(inner, input_mapping={"values": "raw"})
    outer.add_step(report)
    pipeline = Pipeline("whole").add_step(load)
    pipeline.add_sub_pipeline(outer, input_mapping={"raw": "values"})
    made = built(pipeline)
    assert wiring(made) == {
        "load": ((), ("raw",)),
        "outer/inner/clean": (("raw",), ("outer/inner/rows",)),
        "outer/inner/add": (("outer/inner/rows",), ("outer/total",)),
        "outer/report": (("outer/total",), ("report",)),
    }
    assert made.graph.steps[1].sub_pipelines == ("outer", "outer/inner")


def test_an_asset_of_an_inner_sub_pipeline_is_exposed_by_its_path() -> None:
    outer = Pipeline("outer").add_sub_pipeline(child(name="inner"))
    pipeline = parent().add_sub_pipeline(outer, output_mapping={"inner/rows": "kept"})
    made = built(pipeline)
    assert wiring(made)["outer/inner/clean"][1] == ("kept",)
    assert wiring(made)["outer/inner/add"] == (("kept",), ("outer/total",))


def test_a_sub_pipeline_contains_the_steps_that_are_added_to_it_later() -> None:
    sub = child(clean)
    pipeline = parent(sub)
    sub.add_step(add)
    assert "prepare/add" in wiring(built(pipeline))


def test_after_names_steps_of_a_sub_pipeline_or_all_of_them() -> None:
    wait_in_child = step(name="last", after=["clean", "raw"])(lambda: None)
    wait_for_one = step(name="one", after=["prepare/clean"])(lambda: None)
    wait_for_all = step(name="all", after=["prepare"])(lambda: None)
    pipeline = parent(child(clean, wait_in_child)).add_steps([wait_for_one, wait_for_all])
    after = built(pipeline).graph.after
    assert after == {
        "prepare/last": ("load", "prepare/clean"),
        "one": ("prepare/clean",),
        "all": ("prepare/clean", "prepare/last"),
    }


def test_all_steps_of_a_sub_pipeline_wait_for_what_it_waits_for() -> None:
    inner = child(name="inner").add_control_flow(If(lambda total: total, a_branch("deploy")))
    outer = child(step(name="first")(lambda: None), name="outer")
    outer.sub_pipelines.append(SubPipeline(inner, 1, "inner", after=("first",)))
    after = built(parent(outer)).graph.after
    assert {name: after[name] for name in after if "inner" in name} == {
        f"outer/inner/{name}": ("outer/first",) for name in ("clean", "add", "if:deploy", "deploy")
    }


def test_a_map_in_a_sub_pipeline_has_items() -> None:
    square = step(name="square", inputs=["raw"], outputs=["squares"])(lambda raw: raw * raw)
    total = step(name="total", inputs=["squares"])(sum)
    pipeline = Pipeline("whole", {"numbers": [1, 2]})
    pipeline.add_sub_pipeline(child(square.map("raw"), total), input_mapping={"numbers": "raw"})
    made = built(pipeline)
    assert wiring(made) == {
        "prepare/square[0]": (("numbers[0]",), ("prepare/squares[0]",)),
        "prepare/square[1]": (("numbers[1]",), ("prepare/squares[1]",)),
        "prepare/total": (("prepare/squares",), ("total",)),
    }
    assert made.items == {"numbers[0]": 1, "numbers[1]": 2}


def test_a_sweep_replaces_the_rows_of_a_step_of_a_sub_pipeline() -> None:
    fit = step(name="fit")(lambda rate, depth: None)
    pipeline = parent(child(fit.map(grid={"rate": [1]}), context={"depth": 2}), rate=7)
    made = built(pipeline, sweep={"prepare/fit": [{"rate": 3}, {"rate": 4}]})
    (call,) = {
        tuple(made.graph.bound[f"prepare/fit[{i}]"].function.arguments.context) for i in (0, 1)
    }
    assert call == ("prepare/depth",)
    assert list(made.items.values()) == [3, 4]


def test_a_condition_reads_assets_of_its_sub_pipeline_and_inputs_that_are_connected() -> None:
    train = step(name="train", inputs=["rows"], condition=lambda total, go: total and go)
    sub = child(clean, add, train(lambda rows: rows))
    pipeline = parent().add_step(step(name="flag")(lambda: True))
    pipeline.add_sub_pipeline(sub, input_mapping={"flag": "go"})
    made = built(pipeline)
    bound = made.graph.bound["prepare/train"]
    assert bound.reads == ("prepare/rows", "prepare/total", "flag")
    assert made.graph.parents["prepare/train"] == ("flag", "prepare/clean", "prepare/add")


def test_a_condition_does_not_find_assets_around_its_sub_pipeline_by_name() -> None:
    train = step(name="train", inputs=["rows"], condition=lambda raw2=1: raw2)(lambda rows: rows)
    pipeline = parent(child(clean, train)).add_step(step(name="raw2")(lambda: 1))
    assert built(pipeline).graph.bound["prepare/train"].reads == ("prepare/rows",)


# Context


def scoped(own: Mapping[str, Any], **context: Any) -> Pipeline:
    return parent(child(context=own), **context)


def test_a_sub_pipeline_uses_its_own_context_then_that_of_the_pipeline() -> None:
    assert context_of(built(scoped({"limit": 1}, limit=2)))["prepare/clean"] == {
        "limit": "prepare/limit"
    }
    assert context_of(built(scoped({}, limit=2)))["prepare/clean"] == {"limit": "limit"}
    assert context_of(built(scoped({})))["prepare/clean"] == {}


def test_the_context_of_a_sub_pipeline_is_only_that_of_its_steps() -> None:
    assert context_of(built(parent(child(context={"size": 5}))))["load"] == {}
    pipeline = Pipeline("whole").add_step(load)
    pipeline.add_sub_pipeline(child(context={"limit": 1}), "a", outputs=["rows"])
    pipeline.add_sub_pipeline(child(), "b")
    assert context_of(built(pipeline)) == {
        "load": {},
        "a/clean": {"limit": "a/limit"},
        "a/add": {},
        "b/clean": {},
        "b/add": {},
    }


def test_an_inner_sub_pipeline_uses_the_nearest_context() -> None:
    for names, used in (
        (("whole", "outer", "inner"), "outer/inner/limit"),
        (("whole", "outer"), "outer/limit"),
        (("whole",), "limit"),
    ):
        inner = child(name="inner", context={"limit": 1} if "inner" in names else {})
        outer = Pipeline("outer", {"limit": 1} if "outer" in names else {})
        pipeline = parent(outer.add_sub_pipeline(inner), limit=1)
        assert context_of(built(pipeline))["outer/inner/clean"] == {"limit": used}


def test_a_run_overrides_a_context_value_by_its_path() -> None:
    request = request_of(scoped({"limit": 1}), context={"prepare/limit": 4})
    assert request.values == {"prepare/limit": 4}
    # Also a value that the sub-pipeline leaves to its default.
    made = built(scoped({}), context={"prepare/limit": 4})
    assert context_of(made)["prepare/clean"] == {"limit": "prepare/limit"}


def test_a_context_value_that_no_step_takes_is_named_with_the_nearest_path() -> None:
    (problem,) = problems_of(scoped({"limit": 1}), context={"prepare/limits": 4})
    assert problem.what == (
        "No step of pipeline 'whole' takes 'prepare/limits' (did you mean 'prepare/limit'?)"
    )


def test_a_context_value_can_be_an_input_of_a_sub_pipeline() -> None:
    pipeline = Pipeline("whole", {"numbers": [1, 2]})
    pipeline.add_sub_pipeline(child(), input_mapping={"numbers": "raw"})
    made = built(pipeline)
    assert wiring(made)["prepare/clean"][0] == ("numbers",)
    assert made.graph.external_inputs == {"numbers"}


def test_a_context_value_around_does_not_hide_an_asset_of_a_sub_pipeline() -> None:
    total = step(name="double", inputs=["rows"])(lambda rows: rows)
    assert not problems_of(parent(child(clean, total), rows=[1], raw=[2], before=None))


def test_a_list_of_the_context_of_a_sub_pipeline_can_be_mapped() -> None:
    square = step(name="square")(lambda seed: seed)
    pipeline = parent(child(square.map("seed"), context={"seed": [4, 5]}), before=None)
    outer = Pipeline("outer").add_sub_pipeline(pipeline)
    assert built(outer).items == {"whole/prepare/seed[0]": 4, "whole/prepare/seed[1]": 5}


def test_variables_secrets_and_names_of_a_sub_pipeline_belong_to_its_steps() -> None:
    noisy = step(name="noisy", env={"LEVEL": "9"}, secrets={"KEY": "/key"})(lambda: 1)
    sub = child(
        noisy,
        env={"LEVEL": "1", "MODE": "x", "KEY": "y"},
        secrets={"TOKEN": "/token"},
        carry=["WORKERS"],
        evaluate=["STARTED"],
    )
    content = inline(parent(sub))
    prepared = content.steps[-1]
    assert prepared.env == {"LEVEL": "9", "MODE": "x"}
    assert prepared.secrets == {"KEY": "/key", "TOKEN": "/token"}
    assert content.steps[0].env == {}
    assert (content.carry, content.evaluate) == (("WORKERS",), ("STARTED",))


def test_a_whole_sub_pipeline_can_be_refreshed() -> None:
    pipeline = parent(child())
    request = request_of(pipeline, refresh=["prepare"])
    made, _ = request.build()
    assert made is not None and not request.problems(made, None)
    assert request._forced(made) == {"prepare/clean", "prepare/add"}
    assert mistakes(pipeline, refresh=["prepar"]) == ["No step 'prepar' to refresh"]


def test_a_saved_version_contains_the_steps_of_sub_pipelines(tmp_path: Any) -> None:
    pipeline = VersionedPipeline("whole", version="1", versions_dir=tmp_path)
    pipeline.add_step(load).add_sub_pipeline(child())
    pipeline.save_version()
    pipeline.sub_pipelines[0].pipeline.steps.pop()  # type: ignore[attr-defined]
    assert pipeline.compare_with("1").removed_steps == ("prepare/add",)


# Mistakes


def test_all_mistakes_of_a_sub_pipeline_are_in_one_report() -> None:
    pipeline = Pipeline("whole").add_step(load)
    pipeline.add_sub_pipeline(
        child(),
        inputs=["rw"],
        outputs=["rowz", "total"],
        input_mapping={"raw": "row"},
        output_mapping={"totl": "sum", "total": "a", "rows": "a"},
    )
    pipeline.add_sub_pipeline(child())
    pipeline.add_sub_pipeline(pipeline)
    with pytest.raises(InvalidPipelineError) as error:
        pipeline.build()
    texts = {problem.what: problem.fix for problem in error.value.problems}
    prefix = "Sub-pipeline 'prepare': "
    assert texts == {
        prefix + "input_mapping names 'row', which is not an input of it": "did you mean 'raw'?",
        prefix + "inputs names 'rw', which is not an input of it": "did you mean 'raw'?",
        prefix + "output_mapping names 'totl', which is not an asset of it": (
            "did you mean 'total'?"
        ),
        prefix + "output_mapping gives 'total' and 'rows' the name 'a'": "use two names",
        prefix + "outputs names 'rowz', which is not an asset of it": "did you mean 'rows'?",
        prefix + "outputs has 'total', which output_mapping names 'a'": (
            "remove it from one of them, or write 'a' in outputs"
        ),
        "Pipeline 'whole' has two sub-pipelines 'prepare'": (
            "name one of them: add_sub_pipeline(…, name='prepare_2')"
        ),
        "Pipeline 'whole' contains itself: whole → whole": "remove one of these sub-pipelines",
    }


@pytest.mark.parametrize(
    ("options", "what", "fix"),
    [
        (
            {},
            "Sub-pipeline 'prepare' has no source for its input 'raw'",
            "did you mean 'raws'? Otherwise connect it: "
            "add_sub_pipeline(…, input_mapping={NAME: 'raw'}), or pass it in the run's `inputs`",
        ),
        (
            {"input_mapping": {"ras": "raw"}},
            "Sub-pipeline 'prepare': input_mapping names 'ras', which does not exist",
            "did you mean 'raws'? Otherwise name one of them, or pass it in the run's `inputs`",
        ),
    ],
)
def test_an_input_without_a_source_is_an_error_about_its_sub_pipeline(
    options: Mapping[str, Any], what: str, fix: str
) -> None:
    second = step(name="second", inputs=["raw"])(lambda raw: raw)  # reported once
    pipeline = Pipeline("whole").add_step(step(name="raws")(list))
    pipeline.add_sub_pipeline(child(clean, add, second), **options)
    (problem,) = problems_of(pipeline)
    assert (problem.what, problem.fix) == (what, fix)
    assert "the assets and the context values are raws" in problem.why


def test_two_uses_with_the_same_output_are_an_error_that_shows_the_mapping() -> None:
    pipeline = parent().add_sub_pipeline(child(), "a").add_sub_pipeline(child(), "b")
    (problem,) = problems_of(pipeline)
    assert problem.what == "Duplicate asset 'total': it comes from both 'a/add' and 'b/add'"
    assert problem.fix.endswith("name='b', output_mapping={'total': 'b_total'})")


def test_reading_an_asset_that_is_not_exposed_is_an_error_that_shows_how() -> None:
    (problem,) = problems_of(parent(child()).add_step(step(inputs=["rows"])(lambda rows: rows)))
    assert "sub-pipeline 'prepare' has an asset of this name" in problem.why
    assert problem.fix.startswith("expose it: add_sub_pipeline(…, outputs=['rows'])")


def test_pipelines_that_contain_each_other_are_an_error_with_the_cycle() -> None:
    first, second = Pipeline("a").add_step(load), Pipeline("b")
    second.add_sub_pipeline(first.add_sub_pipeline(second))
    assert mistakes(first) == ["Pipeline 'a' contains itself: a → b → a"]


def test_mistakes_of_steps_are_in_the_words_of_the_sub_pipeline() -> None:
    untaken = step(name="untaken", inputs=["rows", "raw"])(lambda rows: rows)
    unknown = step(name="unknown", inputs=["total"])(lambda totals, more: totals)
    pipeline = parent(child(clean, add, untaken, unknown, context={"totals": 1}))
    without_parameter, ambiguous = problems_of(pipeline)
    assert "no parameter has the name 'total'" in ambiguous.why
    assert without_parameter.what == "Step 'prepare/untaken' reads 'raw', but no parameter takes it"


def test_mistakes_in_what_belongs_to_all_steps_name_the_sub_pipeline() -> None:
    sub = child(env={"AWS_PROFILE": "x"}, secrets={"1": "y"}, cache_on=[Env("")])
    pipeline = parent().add_step(step(name="more")(list))
    pipeline.add_sub_pipeline(sub, input_mapping={"raw": "raw", "more": "raw"})
    assert mistakes(pipeline) == [
        "Environment variable 'AWS_PROFILE' of sub-pipeline 'prepare' is reserved",
        "Secret '1' of sub-pipeline 'prepare' has an invalid name",
        "Sub-pipeline 'prepare': Invalid argument cache_on=Env(name='')",
        "Sub-pipeline 'prepare': input_mapping connects 'raw' and 'more' to 'raw'",
    ]


@pytest.mark.parametrize("name", ["", "a/b", 3])
def test_a_name_that_would_be_ambiguous_is_refused(name: Any) -> None:
    with pytest.raises(InvalidSubPipelineError, match="Invalid name"):
        Pipeline("whole").add_sub_pipeline(child(), name)


def test_only_a_pipeline_can_be_a_sub_pipeline() -> None:
    with pytest.raises(InvalidSubPipelineError, match="Expected a pipeline"):
        Pipeline("whole").add_sub_pipeline(clean)  # type: ignore[arg-type]


def test_the_context_may_have_the_names_of_sub_pipelines() -> None:
    pipeline = Pipeline("whole", Context(**{"prepare/limit": 2})).add_step(load)
    made = built(pipeline.add_sub_pipeline(child()))
    assert context_of(made)["prepare/clean"] == {"limit": "prepare/limit"}
    assert isinstance(made.graph.bound["prepare/clean"].function.arguments, Arguments)


def test_branches_of_a_sub_pipeline_have_its_names_and_its_condition_its_own() -> None:
    quality = child(clean, add, name="quality")
    quality.context = Context(limit=4)
    good, bad = a_branch("good"), a_branch("bad")
    condition = lambda ctx: ctx.steps["add"].outputs["total"] > ctx.params["limit"]  # noqa: E731
    quality.add_control_flow(If(condition, good, bad))
    made = built(parent(quality))
    branches = {each.name: each.branch for each in made.graph.steps if each.branch is not None}
    assert branches == {
        "quality/good": Branch("quality/if:good", "then"),
        "quality/bad": Branch("quality/if:good", "else"),
    }
    call = made.graph.bound["quality/if:good"].function.arguments
    assert (call.assets, call.context) == (("quality/total",), ("quality/limit",))
    view = {"quality/total": 5, "quality/limit": 4}
    assert call.call(condition, view, view) is True
    # The decision itself is not an output of the sub-pipeline.
    assert {"good", "bad"} <= made.graph.producers.keys() and "if:good" not in made.graph.producers


@pytest.mark.parametrize("outputs", [{"if:good": "choice"}, {"if:good": "if:good"}])
def test_an_exposed_decision_decides_under_the_name_of_its_asset(outputs: Any) -> None:
    quality = child(clean, add, name="quality", context={"strict": True})
    quality.add_control_flow(If(lambda strict: strict, a_branch("good"), a_branch("bad")))
    pipeline = parent().add_sub_pipeline(quality, output_mapping=outputs)
    (name,) = outputs.values()
    assert inline(pipeline).steps[3].name == name
    made = built(pipeline)
    assert made.cases == {name: "then"}
    assert {step.branch.decision for step in made.graph.steps if step.branch} == {name}


def test_a_condition_takes_an_input_that_only_its_branches_read() -> None:
    many = step(name="many", inputs=["raw"], outputs=["many"])(lambda raw: raw)
    sub = Pipeline("sub").add_control_flow(If(lambda raw: len(raw) > 2, many))
    made = built(parent(sub))
    assert made.graph.bound["sub/if:many"].function.arguments.assets == ("raw",)


def test_the_condition_of_a_step_in_a_branch_takes_a_connected_input() -> None:
    checked = replace(a_branch("checked"), condition=lambda flag: flag)
    sub = child(clean, add).add_control_flow(If(lambda total: total > 1, checked))
    made = built(
        parent()
        .add_step(step(name="flagged")(bool))
        .add_sub_pipeline(sub, input_mapping={"flagged": "flag"})
    )
    condition = made.graph.bound["prepare/checked"].condition
    assert condition is not None and condition.arguments.assets == ("flagged",)


def test_a_condition_of_an_input_that_is_not_connected_shows_how_to_connect_it() -> None:
    flow = If(lambda raw: raw, step(name="some", outputs=["some"])(list))
    made = built(parent(Pipeline("sub").add_control_flow(flow)))
    (problem,) = missing_arguments(made.graph, ())
    assert problem.what == "The condition of 'sub/if:some' has no value for 'raw'"
    assert problem.why == "sub-pipeline 'sub' is not connected to 'raw' of the pipeline"
    assert problem.fix == "connect it: add_sub_pipeline(…, inputs=['raw'])"
    connected = Pipeline("whole").add_step(load)
    connected.add_sub_pipeline(Pipeline("sub").add_control_flow(flow), inputs=["raw"])
    assert missing_arguments(built(connected).graph, ()) == []


def test_a_sub_pipeline_without_a_cache_has_no_step_with_one_also_in_its_branches() -> None:
    quality = child(clean, add, name="quality", enable_cache=False)
    quality.add_control_flow(If(lambda total: total > 4, a_branch("good")))
    whole = parent(quality)
    caches = {each.name: each.cache for each in whole.all_steps}
    assert caches.pop("load") == "code_hash"
    assert set(caches.values()) == {False}
    assert built(whole).graph.steps


def a_branch(name: str) -> Step:
    return step(name=name, inputs=["total"], outputs=[name])(lambda total: total)
