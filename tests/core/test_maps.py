from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws import Context, Pipeline, Step, step
from flowyml_aws.core.binding import bind_steps
from flowyml_aws.core.build import BuiltPipeline, build_pipeline, expand_maps
from flowyml_aws.core.errors import InvalidStepError
from flowyml_aws.core.maps import declared_name, is_list, item_name
from flowyml_aws.core.step_grouping import split_items


@step(outputs=["features"])
def extract(shard: str) -> str:
    return shard.upper()


@step(outputs=["model"])
def train(features: str) -> str:
    return features * 2


@step(inputs=["model"], outputs=["best"])
def select(model: list[str]) -> str:
    return max(model)


@step(outputs=["score"])
def fit(lr: float, depth: int = 3) -> float:
    return lr * depth


def grouped(declared: Step) -> Step:
    return replace(declared, execution_group="g")


def expanded(steps: Sequence[Step], **values: Any) -> tuple[BuiltPipeline | None, list[str]]:
    """Return the pipeline with its items, and what is wrong with it."""
    bound = bind_steps(steps, values.keys())
    built, problems = build_pipeline(bound, values.keys())
    if built is not None:
        built, problems = expand_maps(built, values)
    return built, [problem.what for problem in problems]


def built(*steps: Step, **values: Any) -> BuiltPipeline:
    pipeline, problems = expanded(steps, **values)
    assert pipeline is not None, problems
    return pipeline


def problems_of(*steps: Step, **values: Any) -> list[str]:
    return expanded(steps, **values)[1]


SHARDS = ["a", "b", "c"]


def test_a_mapped_step_has_a_step_for_each_item() -> None:
    pipeline = built(extract.map(over="shards"), shards=SHARDS)
    assert [s.name for s in pipeline.graph.steps] == ["extract[0]", "extract[1]", "extract[2]"]
    assert [s.assets for s in pipeline.graph.steps] == [
        ("features[0]",),
        ("features[1]",),
        ("features[2]",),
    ]
    assert pipeline.items == {"shards[0]": "a", "shards[1]": "b", "shards[2]": "c"}
    assert pipeline.graph.external_inputs == pipeline.items.keys()


def test_the_item_is_passed_like_an_input_of_the_name_of_the_list() -> None:
    graph = built(extract.map(over="shards"), shards=SHARDS).graph
    arguments = graph.bound["extract[1]"].function.arguments
    assert arguments.call(extract.func, {"shards[1]": "b"}, {}) == "B"


def test_a_reader_of_the_output_gets_all_items() -> None:
    graph = built(
        extract.map(over="shards"), train.map(over="features"), select, shards=SHARDS
    ).graph
    assert graph.reads["select"] == ("model[0]", "model[1]", "model[2]")
    assert graph.parents["select"] == ("train[0]", "train[1]", "train[2]")
    assert graph.bound["select"].function.arguments.assets == ("model",)
    assert graph.gathered["model"] == ("model[0]", "model[1]", "model[2]")


def test_a_step_that_maps_over_the_output_gets_one_item() -> None:
    graph = built(extract.map(over="shards"), train.map(over="features"), shards=SHARDS).graph
    assert graph.reads["train[1]"] == ("features[1]",)
    assert graph.parents["train[1]"] == ("extract[1]",)


def test_other_inputs_are_passed_whole_to_each_item() -> None:
    @step(inputs=["vocabulary"], outputs=["features"])
    def encode(vocabulary: list[str], shard: str) -> int:
        return vocabulary.index(shard)

    graph = built(encode.map(over="shards"), shards=SHARDS, vocabulary=SHARDS).graph
    assert graph.reads["encode[2]"] == ("vocabulary", "shards[2]")


def test_a_grid_gives_the_combinations_of_its_values() -> None:
    pipeline = built(fit.map(grid={"lr": [0.1, 0.2], "depth": [1, 2]}))
    calls = [
        pipeline.graph.bound[s.name].function.arguments.call(fit.func, pipeline.items, {})
        for s in pipeline.graph.steps
    ]
    assert calls == [0.1, 0.2, 0.2, 0.4]
    assert len(pipeline.items) == 4  # each value once


def test_rows_give_the_values_of_each_item() -> None:
    pipeline = built(fit.map(rows=[{"lr": 0.5}, {"lr": 0.25}]))
    calls = [
        pipeline.graph.bound[s.name].function.arguments.call(fit.func, pipeline.items, {})
        for s in pipeline.graph.steps
    ]
    assert calls == [1.5, 0.75]


def test_an_item_reads_its_values_in_the_order_of_the_row() -> None:
    graph = built(fit.map(rows=[{"depth": 1, "lr": 0.5}, {"depth": 2, "lr": 0.5}])).graph
    assert graph.reads["fit[0]"] == ("fit.depth[0]", "fit.lr[0]")
    assert graph.reads["fit[1]"] == ("fit.depth[1]", "fit.lr[0]")


def test_an_item_looks_like_its_step() -> None:
    item = built(fit.map(rows=[{"lr": 0.5}])).graph.steps[0]
    assert item.__wrapped__ is fit.func  # type: ignore[attr-defined]  # as functools.wraps
    assert (item.outputs, item.mapping, item.declared_name) == (("score[0]",), None, "fit")


def test_one_and_true_are_different_values_of_a_grid() -> None:
    pipeline = built(fit.map(grid={"lr": [1, True, 1.0]}))
    assert [type(value) for value in pipeline.items.values()] == [int, bool, float]


def test_zero_and_minus_zero_are_different_values_of_a_grid() -> None:
    pipeline = built(fit.map(grid={"lr": [0.0, -0.0, 0.0]}))
    assert [repr(value) for value in pipeline.items.values()] == ["0.0", "-0.0"]


def test_lists_are_zipped() -> None:
    @step(outputs=["pair"])
    def join(left: int, right: int) -> tuple[int, int]:
        return left, right

    graph = built(join.map(over=["lefts", "rights"]), lefts=[1, 2], rights=[3, 4]).graph
    assert graph.reads["join[1]"] == ("lefts[1]", "rights[1]")


def test_an_empty_list_has_no_items() -> None:
    pipeline = built(extract.map(over="shards"), train.map(over="features"), select, shards=[])
    assert [s.name for s in pipeline.graph.steps] == ["select"]
    assert pipeline.graph.gathered["model"] == ()
    assert [group.group_name for group in pipeline.groups] == ["select"]


def test_a_list_can_also_be_read_whole() -> None:
    @step(inputs=["shards"], outputs=["count"])
    def count(shards: list[str]) -> int:
        return len(shards)

    graph = built(extract.map(over="shards"), count, shards=SHARDS).graph
    assert graph.external_inputs == {"shards", "shards[0]", "shards[1]", "shards[2]"}


def test_steps_of_a_group_run_item_by_item() -> None:
    steps = (grouped(extract.map(over="shards")), grouped(train.map(over="features")))
    groups = built(*steps, grouped(select), shards=SHARDS).groups
    assert [group.execution_order for group in groups] == [
        ["extract[0]", "train[0]", "extract[1]", "train[1]", "extract[2]", "train[2]"],
        ["select"],
    ]
    assert [group.group_name for group in groups] == ["g_0", "g_1"]


def test_a_step_that_needs_all_items_of_its_map_starts_a_new_group() -> None:
    @step(inputs=["model"], outputs=["share"], execution_group="g")
    def compare(features: str, model: list[str]) -> float:
        return model.count(features) / len(model)

    first = grouped(extract.map(over="shards"))
    second = grouped(train.map(over="features"))
    groups = built(first, second, compare.map(over="features"), shards=SHARDS).groups
    assert [len(group.steps) for group in groups] == [6, 3]
    assert groups[1].steps[0].inputs == ("model", "features[0]")


def test_steps_over_different_lists_are_in_different_groups() -> None:
    other = grouped(step(name="other", outputs=["other"])(lambda number: number))
    groups = built(
        grouped(extract.map(over="shards")), other.map(over="numbers"), shards=SHARDS, numbers=[1]
    ).groups
    assert [len(group.steps) for group in groups] == [3, 1]


def test_a_group_is_split_into_jobs_of_some_items() -> None:
    (group,) = built(grouped(extract.map(over="shards")), shards=list("abcde")).groups
    parts = split_items(group, 2)
    assert [part.group_name for part in parts] == ["g[0-1]", "g[2-3]", "g[4]"]
    assert [len(part.steps) for part in parts] == [2, 2, 1]
    assert split_items(group, 5) == (group,)


def test_all_items_wait_for_a_step_and_a_step_waits_for_all_items() -> None:
    first = step(name="first", outputs=["first"])(lambda: None)
    last = step(name="last", outputs=["last"], after=["extract"])(lambda: None)
    waiting = step(name="extract", outputs=["features"], after=["first"])(lambda shard: shard)
    graph = built(first, waiting.map(over="shards"), last, shards=SHARDS).graph
    assert graph.parents["extract[2]"] == ("first",)
    assert graph.parents["last"] == ("extract[0]", "extract[1]", "extract[2]")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "map() got no items"),
        ({"over": "x", "grid": {"lr": [1]}}, "map() got over and grid"),
        ({"over": ""}, "Invalid argument over=''"),
        ({"over": ["x", "x"]}, "Invalid argument over=['x', 'x']"),
        ({"over": [1, 2]}, "Invalid argument over=[1, 2]"),
        ({"over": range(3)}, "Invalid argument over=range(0, 3)"),
        ({"grid": {"lr": "abc"}}, "Invalid argument grid={'lr': 'abc'}"),
        ({"grid": {}}, "Invalid argument grid={}"),
        ({"rows": [1]}, "Invalid argument rows=1"),
        ({"rows": [{"lr": 1}, {"depth": 1}]}, "Invalid argument rows=['lr']"),
        ({"over": "x", "items_per_job": 0}, "Invalid argument items_per_job=0"),
        ({"over": "x", "expect": True}, "Invalid argument expect=True"),
        ({"over": "x", "on_item_failure": "ignore"}, "Invalid argument on_item_failure='ignore'"),
        ({"over": "x", "min_success": 0.5}, "Invalid argument min_success=0.5"),
        (
            {"over": "x", "on_item_failure": "drop", "min_success": 95},
            "Invalid argument min_success=95",
        ),
    ],
)
def test_a_mistake_in_a_map_is_an_error(arguments: Mapping[str, Any], problem: str) -> None:
    with pytest.raises(InvalidStepError) as caught:
        fit.map(**arguments)
    assert caught.value.what == f"Step 'fit': {problem}"


def test_mistakes_in_lists_are_found() -> None:
    assert problems_of(extract.map(over="shards"), shards="abc") == [
        "Step 'extract' can't map over 'shards'"
    ]
    zipped = step(name="zipped", outputs=["z"])(lambda a, b: (a, b)).map(over=["xs", "ys"])
    assert problems_of(zipped, xs=[1], ys=[1, 2]) == [
        "Step 'zipped' can't map over lists of different lengths"
    ]


@pytest.mark.parametrize(
    ("value", "fix"),
    [
        ("abc", "pass a list, a tuple or an array"),
        (3, "pass a list, a tuple or an array"),
        (numpy.array(3), "pass a list, a tuple or an array"),
        ({"a": 1}, "pass a list, such as list(value.items())"),
        ({1, 2}, "pass a list: list(value)"),
        (iter([1]), "pass a list: list(value)"),
        (pandas.DataFrame({"a": [1, 2], "b": [3, 4]}), "the rows of the table"),
    ],
)
def test_a_value_without_items_by_position_is_no_list(value: object, fix: str) -> None:
    built, _ = build_pipeline(bind_steps([extract.map(over="shards")], {"shards"}), {"shards"})
    assert built is not None
    _, (problem,) = expand_maps(built, {"shards": value})
    assert problem.why == f"its type is {type(value).__name__}, which is not a list"
    assert fix in problem.fix


@pytest.mark.parametrize(
    "value", [range(2), (1, 2), numpy.ones((2, 3)), pandas.Series([1, 2], index=[5, 6])]
)
def test_ranges_tuples_arrays_and_series_are_lists(value: object) -> None:
    assert is_list(value)


def test_a_mistyped_list_is_found_among_assets_and_context_values() -> None:
    bound = bind_steps([extract.map(over="shard")], (), {"shards"})
    _, (problem,) = build_pipeline(bound, (), {"shards": SHARDS})
    assert problem.what == "Step 'extract' maps over 'shard', which does not exist"
    assert problem.fix.startswith("did you mean 'shards'? Otherwise add the list to the context")


def test_a_step_is_mapped_only_once() -> None:
    with pytest.raises(InvalidStepError, match="Step 'extract' can't be mapped twice"):
        extract.map(over="shards").map(over="others")


def test_a_pipeline_with_a_map_over_a_context_value_can_be_built() -> None:
    pipeline = Pipeline("p", Context(shards=SHARDS)).add_step(extract.map(over="shards"))
    assert pipeline.build().step_groups == []


def test_a_step_can_not_have_the_name_of_an_item() -> None:
    other = step(name="extract[7]", outputs=["other"])(lambda: None)
    assert problems_of(extract.map(over="shards"), other, shards=SHARDS) == [
        "The name 'extract[7]' is that of an item"
    ]


@st.composite
def pipelines_with_maps(draw: st.DrawFn) -> list[Step]:
    """Steps that read the two lists and each other's outputs, item by item or whole."""
    steps: list[Step] = []
    lists = ["xs", "ys"]  # of the same length
    wholes: list[str] = []
    for number in range(draw(st.integers(1, 6))):
        name = f"s{number}"
        over = draw(st.lists(st.sampled_from(lists), max_size=2, unique=True))
        others = draw(st.lists(st.sampled_from([*lists, *wholes]), max_size=2, unique=True))
        inputs = [asset for asset in others if asset not in over]

        def function(*values: Any, name: str = name) -> tuple[str, tuple[Any, ...]]:
            return name, values

        group = draw(st.sampled_from([None, "g", "h"]))
        declared = step(name=name, inputs=inputs, outputs=[f"o{number}"], execution_group=group)
        steps.append(declared(function).map(over=over) if over else declared(function))
        (lists if over else wholes).append(f"o{number}")
    return steps


def by_comprehension(steps: Sequence[Step], lists: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value of each asset, computed with a loop over the items."""
    values = dict(lists)
    for declared in steps:
        over = declared.mapping.over if declared.mapping is not None else ()

        def call(index: int, declared: Step = declared, over: Sequence[str] = over) -> Any:
            names = declared.inputs
            return declared(*(values[n][index] if n in over else values[n] for n in names))

        count = len(lists["xs"])
        value = [call(index) for index in range(count)] if over else call(0)
        values[declared.assets[0]] = value
    return values


def by_items(pipeline: BuiltPipeline, lists: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value of each asset, computed by calling the steps of the items in their order."""
    graph, values = pipeline.graph, {**lists, **pipeline.items}

    def value_of(asset: str) -> Any:
        items = graph.gathered.get(asset)
        return values[asset] if items is None else [values[item] for item in items]

    for group in pipeline.groups:
        for each in group.steps:
            arguments = graph.bound[each.name].function.arguments
            read = {asset: value_of(asset) for asset in arguments.assets}
            values[each.assets[0]] = arguments.call(each.func, read, {})
    return values | {asset: value_of(asset) for asset in graph.gathered}


@given(pipelines_with_maps(), st.integers(0, 4))
def test_items_give_what_a_loop_gives(declared: list[Step], count: int) -> None:
    lists = {"xs": [f"x{i}" for i in range(count)], "ys": [f"y{i}" for i in range(count)]}
    pipeline = built(*declared, **lists)
    expected, values = by_comprehension(declared, lists), by_items(pipeline, lists)
    assert {asset: values[asset] for asset in expected} == expected


@given(st.text(min_size=1), st.integers(0, 10**6))
def test_the_name_of_an_item_contains_that_of_its_step(name: str, index: int) -> None:
    assert declared_name(item_name(name, index)) == name


@given(st.integers(0, 30), st.integers(1, 40))
def test_jobs_contain_each_item_once_and_in_order(count: int, per_job: int) -> None:
    steps = (grouped(extract.map(over="shards")), grouped(train.map(over="features")))
    groups = built(*steps, shards=list(range(count))).groups
    parts = [part for group in groups for part in split_items(group, per_job)]
    names = [s.name for part in parts for s in part.steps]
    assert names == [item_name(n, i) for i in range(count) for n in ("extract", "train")]
    assert all(len(part.steps) <= 2 * per_job for part in parts)
