from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws import Step, step
from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.core.binding import bind_steps
from flowyml_aws.core.build import BuiltPipeline, build_pipeline, expand_maps
from flowyml_aws.core.step_grouping import StepGroup
from flowyml_aws.planning.batching import (
    Batch,
    batch_of,
    empty_notes,
    planned_maps,
    produced_notes,
    split_group,
)
from flowyml_aws.planning.durations import Durations, items_of
from flowyml_aws.planning.history import RunTimes, StepTime
from flowyml_aws.planning.make import make_plan
from flowyml_aws.planning.placement import Placement


def mapped(count: int, items_per_job: int | None = None) -> StepGroup:
    """Return the group of a step that is mapped over a list."""
    declared = step(name="train", outputs=["model"])(lambda shard: shard)
    return groups_of(declared.map(over="shards", items_per_job=items_per_job), count)[0]


def groups_of(declared: Step, count: int) -> tuple[StepGroup, ...]:
    built, problems = build_pipeline(bind_steps([declared], {"shards"}), {"shards"})
    assert built is not None, problems
    expanded, problems = expand_maps(built, {"shards": range(count)})
    assert expanded is not None, problems
    return expanded.groups


def durations(**seconds: float) -> Durations:
    steps = {n: StepTime(duration_s=s, instance_type=None) for n, s in seconds.items()}
    return Durations([RunTimes(run_id="r", pipeline="p", ended_at=0, steps=steps, asset_bytes={})])


NO_RUNS = Durations(())


@pytest.mark.parametrize(
    ("count", "known", "startup_s", "expected"),
    [
        (40, {}, 180, 1),  # each item in its own job
        (100, {}, 180, 1),
        (101, {}, 180, 2),  # at most 100 jobs
        (10_000, {}, 180, 100),
        (10_000, {"train": 60.0}, 180, 27),  # 27 minutes for 3 minutes of start
        (10_000, {"train": 3600.0}, 180, 1),
        (40, {"train": 1.0}, 180, 40),  # one job
        (40, {"train": 0.0}, 180, 40),
        (40, {"train": 1.0}, 1, 9),
    ],
)
def test_a_job_runs_enough_items_for_its_start_to_be_a_tenth_of_its_time(
    count: int, known: Mapping[str, float], startup_s: float, expected: int
) -> None:
    batch = batch_of(mapped(count), durations(**known) if known else NO_RUNS, startup_s, 100)
    assert batch is not None
    assert batch.items_per_job == expected


def test_the_declared_number_of_items_counts() -> None:
    assert batch_of(mapped(40, 7), durations(train=1.0), 180, 100) == Batch(7, "as declared")


def test_the_reason_names_the_durations() -> None:
    batch = batch_of(mapped(10_000), durations(train=60.0), 180, 100)
    assert batch is not None
    assert batch.reason == "an item takes 60 s, and a job 180 s to start"


def test_other_groups_are_one_job() -> None:
    plain = step(name="plain", outputs=["p"])(lambda: None)
    (group,) = groups_of(plain, 0)
    assert batch_of(group, NO_RUNS, 180, 100) is None
    assert split_group(group, None) == (group,)


@given(st.integers(1, 3000), st.floats(0.001, 10_000), st.integers(1, 300))
def test_the_start_takes_at_most_a_tenth_of_full_jobs(
    count: int, seconds: float, startup_s: int
) -> None:
    group = mapped(count)
    batch = batch_of(group, durations(train=seconds), startup_s, 100)
    assert batch is not None
    per_job = batch.items_per_job
    assert 1 <= per_job <= count
    if per_job < count:
        assert startup_s <= 0.1 * (startup_s + per_job * seconds) * (1 + 1e-9)
    assert per_job == 1 or startup_s > 0.1 * (startup_s + (per_job - 1) * seconds) * (1 - 1e-9)


def test_the_plan_of_a_map_has_all_items_also_the_reused_ones() -> None:
    declared = step(name="train", outputs=["model"])(lambda shard: shard)
    declared = declared.map(over="shards", on_item_failure="drop", min_success=0.9)
    built, _ = build_pipeline(bind_steps([declared], {"shards"}), {"shards"})
    assert built is not None
    expanded, _ = expand_maps(built, {"shards": range(25)})
    assert expanded is not None
    running = expanded.groups[0].only({"train[3]"})
    assert running is not None
    plan = planned_maps(expanded.graph, [running], [Batch(1, "as declared")])["train"]
    assert (plan.items, plan.outputs, plan.required) == (25, ("model",), 23)
    reused = planned_maps(expanded.graph, [], [])["train"]
    assert (reused.items, reused.reason) == (25, "every item is reused")


def test_a_map_over_an_empty_list_is_in_the_plan_without_items() -> None:
    declared = step(name="train", outputs=["model"])(lambda shard: shard).map(over="shards")
    built, _ = build_pipeline(bind_steps([declared], {"shards"}), {"shards"})
    assert built is not None
    expanded, _ = expand_maps(built, {"shards": []})
    assert expanded is not None and expanded.empty_maps == (declared,)
    plan = planned_maps(expanded.graph, [], [], expanded.empty_maps)["train"]
    assert (plan.items, plan.outputs, plan.reason) == (0, ("model",), "the list is empty")
    assert empty_notes(expanded.empty_maps) == ["step 'train' does not run: 'shards' is empty"]


def produced(
    expect: int, items_per_job: int | None = None, timeout: float | None = None
) -> BuiltPipeline:
    """Return a pipeline with a map over a list that a step produces."""
    listing = step(name="listing", outputs=["shards"])(list)
    declared = step(name="train", outputs=["model"], timeout=timeout)(lambda shard: shard)
    steps = [listing, declared.map(over="shards", expect=expect, items_per_job=items_per_job)]
    built, problems = build_pipeline(bind_steps(steps), ())
    assert built is not None, problems
    expanded, problems = expand_maps(built, {})
    assert expanded is not None, problems
    return expanded


@pytest.mark.parametrize(
    ("expect", "items_per_job", "known", "most_jobs", "jobs"),
    [
        (1000, None, {}, 100, 100),  # 10 items in each part
        (1000, None, {}, 8, 8),
        (1000, None, {"train": 60.0}, 100, 34),  # 3 parts of 10 minutes for 3 minutes of start
        (1000, None, {"train": 3600.0}, 100, 100),
        (1000, 20, {"train": 3600.0}, 8, 50),
        (3, None, {}, 100, 3),
    ],
)
def test_parts_of_a_produced_list_are_planned_for_the_expected_items(
    expect: int, items_per_job: int | None, known: Mapping[str, float], most_jobs: int, jobs: int
) -> None:
    pipeline = produced(expect, items_per_job)
    group = pipeline.groups[1]
    batch = batch_of(group, durations(**known), 180, most_jobs)
    groups = split_group(group, batch)
    assert len(groups) == jobs
    plan = planned_maps(pipeline.graph, [group], [batch])["train"]
    assert (plan.items, plan.parts) == (expect, len(group.steps))
    assert produced_notes(groups, pipeline.graph) == [
        f"'shards' is produced in this run: step 'train' is planned for {expect:,} items in "
        f"{jobs} jobs"
    ]
    (note,) = produced_notes(groups, pipeline.graph, {"train": "run-1"})
    assert note.endswith(f"{jobs} jobs, from the length in run run-1")
    assert produced_notes(groups, pipeline.graph.only({s.name for s in group.steps})) == []


def test_a_part_is_expected_to_take_as_long_as_its_items() -> None:
    steps = produced(1000).graph.steps
    known = Durations(durations(train=60.0).runs, {each.name: items_of(each) for each in steps})
    assert known.expected_s("train{3/100}", None) == 600


def test_the_timeout_of_a_job_is_the_sum_for_the_expected_items_of_its_parts() -> None:
    pipeline = produced(1000, timeout=60)
    plan = make_plan("p", Placement("local"), pipeline.graph, pipeline.groups, (), load_catalog())
    assert plan.jobs[1].timeout_s == 1000 * 60 + 600
