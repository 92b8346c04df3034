"""Expected cost and time, and the other ways to cut a pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from statistics import median

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flowyml_aws.core.graph import StepGraph, read_graph
from flowyml_aws.core.resources import GPUConfig, ResourceRequirements, merge_resources
from flowyml_aws.core.step import Step, step
from flowyml_aws.core.step_grouping import group_steps
from flowyml_aws.planning.catalog import Catalog, InstanceType
from flowyml_aws.planning.cost import STARTUP_S
from flowyml_aws.planning.history import RunTimes, StepTime
from flowyml_aws.planning.make import make_plan
from flowyml_aws.planning.needs import needs_of
from flowyml_aws.planning.placement import Placement
from flowyml_aws.planning.plan import ExecutionPlan, Variant
from flowyml_aws.planning.selection import select
from flowyml_aws.planning.targets import offline_targets

TYPES = (
    InstanceType("c1.small", 2, 4096, 4096, price_usd_hour=0.1),
    InstanceType("c1.large", 16, 65536, 65536, price_usd_hour=1.0),
    InstanceType(
        "g1.gpu", 4, 16384, 16384, gpu_model="t4", gpu_count=1, gpu_memory_gb=16, price_usd_hour=3.6
    ),
)
CATALOG = Catalog("r", date(2026, 1, 1), date(2026, 1, 1), TYPES)
STARTUP = STARTUP_S["batch"]
SMALL, LARGE = ResourceRequirements("1", "1Gi"), ResourceRequirements("8", "32Gi")
GPU = ResourceRequirements("1", "1Gi", gpu=GPUConfig("t4"))


def chain(*resources: ResourceRequirements | None, group: str | None = "all") -> list[Step]:
    return [
        step(
            name=f"s{n}",
            inputs=[f"a{n - 1}"] if n else [],
            outputs=[f"a{n}"],
            resources=asked,
            execution_group=group,
        )(lambda **values: 1)
        for n, asked in enumerate(resources)
    ]


def graph_of(steps: Sequence[Step]) -> StepGraph:
    graph, problems = read_graph(steps)
    assert graph is not None and not problems
    return graph


def a_run(seconds: Mapping[str, float], on: str | None = "c1.large", **sizes: int) -> RunTimes:
    times = {name: StepTime(duration_s=s, instance_type=on) for name, s in seconds.items()}
    return RunTimes(run_id="r", pipeline="p", ended_at=0, steps=times, asset_bytes=sizes)


def plan_of(
    steps: Sequence[Step], *history: RunTimes, backend: str = "batch", catalog: Catalog = CATALOG
) -> ExecutionPlan:
    graph = graph_of(steps)
    targets = () if backend == "local" else offline_targets(catalog)
    return make_plan(
        "p", Placement(backend), graph, group_steps(graph.steps), targets, catalog, history
    )


def variants(plan: ExecutionPlan) -> dict[str, Variant]:
    assert plan.estimate is not None
    return {variant.name: variant for variant in plan.estimate.variants}


def test_without_earlier_runs_nothing_is_expected() -> None:
    plan = plan_of(chain(SMALL))
    assert plan.estimate is None
    assert plan.jobs[0].expected_s is None


def test_a_job_takes_its_start_and_its_steps_at_its_price() -> None:
    plan = plan_of(chain(SMALL, SMALL), a_run({"s0": 100, "s1": 20}, on="c1.small"))
    (job,) = plan.jobs
    assert job.expected_s == STARTUP + 120
    assert job.expected_cost_usd == pytest.approx(0.1 * (STARTUP + 120) / 3600)
    assert plan.estimate is not None
    assert plan.estimate.cost_usd == job.expected_cost_usd
    assert plan.notes == ()


def test_of_several_runs_the_median_counts() -> None:
    runs = [a_run({"s0": seconds}, on="c1.small") for seconds in (10, 1000, 30)]
    assert plan_of(chain(SMALL), *runs).jobs[0].expected_s == STARTUP + 30


def test_runs_on_the_same_instance_type_count_before_others() -> None:
    runs = [a_run({"s0": 1000}, on="g1.gpu"), a_run({"s0": 10}, on="c1.small")]
    assert plan_of(chain(SMALL), *runs).jobs[0].expected_s == STARTUP + 10


def test_times_from_another_type_are_used_and_that_is_said() -> None:
    plan = plan_of(chain(SMALL), a_run({"s0": 10}, on="g1.gpu"))
    assert plan.jobs[0].expected_s == STARTUP + 10
    assert plan.notes == ("expected times of 's0' were measured on other instance types",)


def test_a_step_that_never_ran_leaves_the_sum_unknown_and_is_named() -> None:
    plan = plan_of(chain(SMALL, SMALL, group=None), a_run({"s0": 10}))
    assert plan.estimate is not None
    assert (plan.estimate.cost_usd, plan.estimate.wall_s) == (None, None)
    assert plan.estimate.unknown == ("s1",)
    assert plan.estimate.variants == ()
    assert [job.expected_s is None for job in plan.jobs] == [False, True]


def test_an_unknown_price_leaves_the_cost_unknown_and_not_the_time() -> None:
    unpriced = Catalog(
        "r", date(2026, 1, 1), date(2026, 1, 1), (InstanceType("c1.small", 2, 4096, 4096),)
    )
    plan = plan_of(chain(SMALL), a_run({"s0": 10}), catalog=unpriced)
    assert plan.estimate is not None
    assert (plan.estimate.cost_usd, plan.estimate.wall_s) == (None, STARTUP + 10)


def test_the_time_of_a_run_is_its_longest_way() -> None:
    def made(name: str, *inputs: str) -> Step:
        return step(name=name, inputs=list(inputs), outputs=[f"{name}_out"], resources=SMALL)(
            lambda **values: 1
        )

    steps = [made("a"), made("b"), made("c", "a_out", "b_out")]
    plan = plan_of(steps, a_run({"a": 100, "b": 500, "c": 10}, on="c1.small"))
    assert plan.estimate is not None
    assert plan.estimate.wall_s == 2 * STARTUP + 510


def test_the_split_that_frees_an_idle_gpu_is_found_with_its_parts() -> None:
    plan = plan_of(chain(SMALL, GPU, SMALL), a_run({"s0": 3600, "s1": 60, "s2": 3600}, on="g1.gpu"))
    found = variants(plan)
    assert found["cheapest split"].cuts == {"all": (("s0",), ("s1",), ("s2",))}
    assert found["cheapest split"].cost_usd == found["each step alone"].cost_usd
    assert (found["cheapest split"].cost_usd or 0) < (found["as grouped"].cost_usd or 0)
    assert any(
        "only 's1' asked for the GPU, 1.0 of the group's 121.0" in n for n in plan.jobs[0].notes
    )


def test_where_the_grouping_pays_the_cheapest_split_is_the_grouping() -> None:
    plan = plan_of(chain(SMALL, GPU, SMALL), a_run({"s0": 1, "s1": 600, "s2": 1}, on="g1.gpu"))
    found = variants(plan)
    assert found["cheapest split"].cost_usd == found["as grouped"].cost_usd
    assert found["cheapest split"].cuts == {}
    assert (found["each step alone"].jobs, found["as grouped"].jobs) == (3, 1)


def test_a_gpu_that_is_idle_for_a_moment_is_not_worth_a_word() -> None:
    plan = plan_of(chain(SMALL, GPU), a_run({"s0": 50, "s1": 1}, on="g1.gpu"))
    assert not any("GPU" in note for note in plan.jobs[0].notes)


def test_before_any_run_one_gpu_step_among_others_is_told_mildly() -> None:
    plan = plan_of(chain(SMALL, GPU))
    assert "only step 's1' asks for a GPU: the others hold it while they run" in plan.jobs[0].notes


def test_a_run_on_this_machine_has_a_time_and_no_cost() -> None:
    plan = plan_of(chain(SMALL, SMALL), a_run({"s0": 1, "s1": 2}, on=None), backend="local")
    assert plan.estimate is not None
    assert (plan.estimate.cost_usd, plan.estimate.variants) == (None, ())
    assert plan.estimate.wall_s == 3 + STARTUP_S["local"]


def test_the_newest_size_of_an_asset_of_the_plan_is_kept() -> None:
    runs = [a_run({"s0": 1}, a0=10, other=7), a_run({"s0": 1}, a0=20)]
    assert plan_of(chain(SMALL), *runs).asset_bytes == {"a0": 10}


def all_cuts(steps: Sequence[Step]) -> list[list[list[Step]]]:
    if not steps:
        return [[]]
    return [
        [list(steps[:n]), *rest] for n in range(1, len(steps) + 1) for rest in all_cuts(steps[n:])
    ]


def runs_of(times: Sequence[Mapping[str, int]]) -> list[RunTimes]:
    """One run on each instance type, of the steps measured there."""
    return [
        a_run({f"s{n}": float(on[name]) for n, on in enumerate(times) if name in on}, on=name)
        for name in sorted({name for on in times for name in on})
    ]


def cost_of(parts: Sequence[Sequence[Step]], times: Sequence[Mapping[str, int]]) -> float:
    total = 0.0
    for part in parts:
        needs = needs_of(merge_resources([r for s in part if (r := s.requirements()) is not None]))
        choice = select(needs, offline_targets(CATALOG), CATALOG)
        on = [times[int(s.name[1:])] for s in part]
        took = sum(t.get(choice.instance_type, median(t.values())) for t in on)
        total += (choice.price_usd_hour or 0) * (STARTUP + took) / 3600
    return total


ON_EACH_TYPE = st.dictionaries(
    st.sampled_from([t.name for t in TYPES]), st.integers(0, 2000), min_size=1
)


@given(
    st.lists(
        st.tuples(st.sampled_from([SMALL, None, LARGE, GPU]), ON_EACH_TYPE), min_size=2, max_size=6
    )
)
@example([(GPU, {"c1.small": 0}), (SMALL, {"g1.gpu": 0, "c1.small": 9}), (SMALL, {"g1.gpu": 9})])
def test_the_cheapest_split_is_the_cheapest_of_all_splits(
    given_steps: list[tuple[ResourceRequirements | None, dict[str, int]]],
) -> None:
    resources = [r for r, _ in given_steps]
    if GPU in resources and LARGE in resources:
        resources = [SMALL if r == LARGE else r for r in resources]  # no type has both
    steps = chain(*resources)
    times = [on for _, on in given_steps]
    found = variants(plan_of(steps, *runs_of(times)))
    cheapest = min(cost_of(cut, times) for cut in all_cuts(steps))
    assert found["cheapest split"].cost_usd == pytest.approx(cheapest)
    assert found["as grouped"].cost_usd == pytest.approx(cost_of([steps], times))
    alone = cost_of([[s] for s in steps], times)
    assert found["each step alone"].cost_usd == pytest.approx(alone)


def test_steps_alone_take_their_times_and_a_start_each() -> None:
    steps = chain(SMALL, SMALL, SMALL)
    found = variants(plan_of(steps, a_run({"s0": 10, "s1": 20, "s2": 30})))
    assert found["each step alone"].wall_s == 3 * STARTUP + 60
    assert found["as grouped"].wall_s == STARTUP + 60


def test_a_long_group_is_cut_where_its_needs_change() -> None:
    steps = chain(*[SMALL] * 150, *[GPU] * 150)
    found = variants(plan_of(steps, a_run({step.name: 100 for step in steps})))
    names = tuple(step.name for step in steps)
    assert found["cheapest split"].cuts == {"all": (names[:150], names[150:])}
