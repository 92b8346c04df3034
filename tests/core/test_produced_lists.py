"""Maps over lists that a step of the pipeline produces: a number of parts instead of items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws import Step, step
from flowyml_aws.core.binding import bind_steps
from flowyml_aws.core.build import BuiltPipeline, build_pipeline, expand_maps
from flowyml_aws.core.maps import (
    EarlierLength,
    declared_name,
    is_part,
    item_name,
    part_name,
    slice_of_part,
)


@step(outputs=["shards"])
def listing() -> list[str]:
    return ["a", "b", "c"]


@step(outputs=["features"])
def extract(shard: str) -> str:
    return shard.upper()


@step(outputs=["model"])
def train(features: str) -> str:
    return f"model of {features}"


@step(inputs=["model"], outputs=["best"])
def select(model: list[str]) -> str:
    return max(model)


def expanded(steps: Sequence[Step], **values: Any) -> tuple[BuiltPipeline | None, list[str]]:
    pipeline, problems = build_pipeline(bind_steps(steps, values.keys()), values.keys())
    if pipeline is not None:
        pipeline, problems = expand_maps(pipeline, values)
    return pipeline, [str(problem) for problem in problems]


def built(*steps: Step, **values: Any) -> BuiltPipeline:
    pipeline, problems = expanded(steps, **values)
    assert pipeline is not None, problems
    return pipeline


def test_a_step_over_a_produced_list_has_parts_that_read_the_list() -> None:
    graph = built(listing, extract.map(over="shards", expect=2)).graph
    assert [s.name for s in graph.steps] == ["listing", "extract{1/2}", "extract{2/2}"]
    assert graph.reads["extract{2/2}"] == ("shards",)
    assert graph.parents["extract{2/2}"] == ("listing",)
    assert graph.steps[1].assets == ("features{1/2}",)
    assert graph.steps[1].declared_name == "extract"


def with_earlier(*steps: Step, **items: int) -> BuiltPipeline:
    """Return a pipeline whose steps had numbers of items in an earlier run."""
    pipeline, problems = build_pipeline(bind_steps(steps), ())
    assert pipeline is not None, problems
    earlier = {name: EarlierLength(number, f"run-{name}") for name, number in items.items()}
    pipeline, problems = expand_maps(pipeline, {}, earlier)
    assert pipeline is not None, problems
    return pipeline


def test_a_list_without_an_expected_length_is_as_long_as_in_an_earlier_run() -> None:
    steps = (listing, extract.map(over="shards"), train.map(over="features"))
    pipeline = with_earlier(*steps, extract=2, train=3)
    assert len(pipeline.graph.steps) == 1 + 3 + 3
    assert pipeline.length_runs == {"extract": "run-train", "train": "run-train"}


def test_an_expected_length_comes_before_that_of_an_earlier_run() -> None:
    pipeline = with_earlier(listing, extract.map(over="shards", expect=2), extract=5)
    assert [s.name for s in pipeline.graph.steps][1:] == ["extract{1/2}", "extract{2/2}"]
    assert pipeline.length_runs == {}


def test_a_list_that_was_empty_in_an_earlier_run_has_one_part() -> None:
    pipeline = with_earlier(listing, extract.map(over="shards"), extract=0)
    assert [s.name for s in pipeline.graph.steps][1:] == ["extract{1/1}"]


def test_chains_have_the_same_parts_and_readers_of_the_whole_read_all() -> None:
    pipeline = built(
        listing, extract.map(over="shards", expect=2), train.map(over="features"), select
    )
    graph = pipeline.graph
    assert graph.reads["train{2/2}"] == ("features{2/2}",)
    assert graph.reads["select"] == graph.gathered["model"] == ("model{1/2}", "model{2/2}")
    part = graph.bound["train{2/2}"].step.item
    assert part is not None
    assert part.part is not None
    assert part.part.lists == {"features{2/2}": "features"}
    assert part.part.whole_lists == ()


def test_steps_of_a_group_have_their_parts_together() -> None:
    first = replace(extract.map(over="shards", expect=2), execution_group="g")
    second = replace(train.map(over="features"), execution_group="g")
    groups = built(listing, first, second).groups
    assert [group.execution_order for group in groups] == [
        ["listing"],
        ["extract{1/2}", "train{1/2}", "extract{2/2}", "train{2/2}"],
    ]


def test_parts_have_different_names_for_the_list_in_their_keys() -> None:
    graph = built(listing, extract.map(over="shards", expect=2), train.map(over="features")).graph
    labels = [graph.label(a, s) for s in graph.steps[1:] for a in graph.reads[s.name]]
    assert labels == ["shards{1/2}", "shards{2/2}", "features", "features"]


def test_there_are_at_most_a_hundred_parts_or_as_many_as_declared() -> None:
    def items(**options: Any) -> list[int]:
        steps = built(listing, extract.map(over="shards", **options)).graph.steps
        parts = [s.item.part for s in steps if s.item is not None]
        return [part.items for part in parts if part is not None]

    assert items(expect=3) == [1, 1, 1]
    assert items(expect=250) == [2, 3] * 50
    assert items(expect=250, items_per_job=100) == [83, 83, 84]


def test_a_produced_list_needs_an_expected_number_of_items() -> None:
    _, (problem,) = expanded([listing, extract.map(over="shards")])
    assert problem.startswith("Step 'extract' can't map over 'shards'")
    assert "write extract.map(…, expect=N)" in problem


def test_a_produced_list_and_a_known_one_are_not_read_together() -> None:
    join = step(name="join", outputs=["pair"])(lambda a, b: (a, b))
    _, (problem,) = expanded(
        [listing, join.map(over=["shards", "labels"], expect=3)], labels=[1, 2, 3]
    )
    assert problem.startswith("Step 'join' can't map over 'shards' and 'labels' together")


def test_a_list_of_a_reader_of_a_map_is_mapped_over_again() -> None:
    filtered = step(name="filtered", inputs=["features"], outputs=["chosen"])(lambda f: f)
    again = step(name="again", outputs=["last"])(lambda item: item)
    graph = built(
        listing, extract.map(over="shards", expect=2), filtered, again.map(over="chosen", expect=1)
    ).graph
    assert graph.reads["filtered"] == ("features{1/2}", "features{2/2}")
    assert graph.reads["again{1/1}"] == ("chosen",)


@given(st.integers(0, 300), st.integers(1, 50))
def test_the_slices_of_parts_cover_a_list_once_and_evenly(length: int, count: int) -> None:
    slices = [slice_of_part(number, count, length) for number in range(count)]
    assert [p for positions in slices for p in positions] == list(range(length))
    assert max(map(len, slices)) - min(map(len, slices)) <= 1


@given(st.text(min_size=1), st.integers(0, 99), st.integers(100, 200))
def test_the_name_of_a_part_contains_that_of_its_step(name: str, number: int, count: int) -> None:
    assert declared_name(part_name(name, number, count)) == name
    assert is_part(part_name(name, number, count))
    assert not is_part(item_name(name, number))
