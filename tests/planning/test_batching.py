from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws import Step, step
from flowyml_aws.core.binding import bind_steps
from flowyml_aws.core.build import build_pipeline, expand_maps
from flowyml_aws.core.step_grouping import StepGroup
from flowyml_aws.planning.batching import Batch, batch_of, planned_maps, split_group
from flowyml_aws.planning.durations import Durations
from flowyml_aws.planning.history import RunTimes, StepTime


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
