"""Expected cost and time, and other ways to split a pipeline into jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from statistics import median

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flowyml_aws import If, Pipeline
from flowyml_aws.catalog.types import Catalog, InstanceType
from flowyml_aws.core.binding import bind_steps
from flowyml_aws.core.branches import Branch
from flowyml_aws.core.build import build_pipeline
from flowyml_aws.core.graph import StepGraph, read_graph
from flowyml_aws.core.resources import GPUConfig, ResourceRequirements, merge_resources
from flowyml_aws.core.step import Step, step
from flowyml_aws.core.step_grouping import StepGroup, group_steps
from flowyml_aws.planning.history import RunTimes, StepTime
from flowyml_aws.planning.make import make_plan
from flowyml_aws.planning.needs import needs_of
from flowyml_aws.planning.placement import Placement
from flowyml_aws.planning.plan import ExecutionPlan, Variant
from flowyml_aws.planning.selection import select
from flowyml_aws.planning.services import service_traits
from flowyml_aws.planning.targets import offline_targets

TYPES = (
    InstanceType("c1.small", 2, 4096, 4096, price_usd_hour=0.1),
    InstanceType("c1.large", 16, 65536, 65536, price_usd_hour=1.0),
    InstanceType(
        "g1.gpu", 4, 16384, 16384, gpu_model="t4", gpu_count=1, gpu_memory_gb=16, price_usd_hour=3.6
    ),
)
CATALOG = Catalog("r", date(2026, 1, 1), date(2026, 1, 1), TYPES)
STARTUP = service_traits("batch").startup_s
SMALL, LARGE = ResourceRequirements("1", "1Gi"), ResourceRequirements("8", "32Gi")
GPU = ResourceRequirements("1", "1Gi", gpu=GPUConfig("t4"))


def chain(*resources: ResourceRequirements | None, group: str | None = "all") -> list[Step]:
    return [
        step(
            name=f"s{n}",
            inputs=[f"a{n - 1}"] if n else [],
            outputs=[f"a{n}"],
            resources=requested,
            execution_group=group,
        )(lambda **values: 1)
        for n, requested in enumerate(resources)
    ]


def graph_of(steps: Sequence[Step]) -> StepGraph:
    graph, problems = read_graph(steps)
    assert graph is not None and not problems
    return graph


def make_run(seconds: Mapping[str, float], on: str | None = "c1.large", **sizes: int) -> RunTimes:
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


def test_a_job_costs_its_startup_and_steps_at_its_price() -> None:
    plan = plan_of(chain(SMALL, SMALL), make_run({"s0": 100, "s1": 20}, on="c1.small"))
    (job,) = plan.jobs
    assert job.expected_s == STARTUP + 120
    assert job.expected_cost_usd == pytest.approx(0.1 * (STARTUP + 120) / 3600)
    assert plan.estimate is not None
    assert plan.estimate.cost_usd == job.expected_cost_usd
    assert plan.notes == ()


def test_the_median_of_several_runs_is_expected() -> None:
    runs = [make_run({"s0": seconds}, on="c1.small") for seconds in (10, 1000, 30)]
    assert plan_of(chain(SMALL), *runs).jobs[0].expected_s == STARTUP + 30


def test_runs_on_the_same_instance_type_take_precedence() -> None:
    runs = [make_run({"s0": 1000}, on="g1.gpu"), make_run({"s0": 10}, on="c1.small")]
    assert plan_of(chain(SMALL), *runs).jobs[0].expected_s == STARTUP + 10


def test_times_from_another_type_are_used_with_a_note() -> None:
    plan = plan_of(chain(SMALL), make_run({"s0": 10}, on="g1.gpu"))
    assert plan.jobs[0].expected_s == STARTUP + 10
    assert plan.notes == ("expected times of 's0' were measured on other instance types",)


def test_a_step_that_never_ran_is_named_and_makes_the_total_unknown() -> None:
    plan = plan_of(chain(SMALL, SMALL, group=None), make_run({"s0": 10}))
    assert plan.estimate is not None
    assert (plan.estimate.cost_usd, plan.estimate.wall_s) == (None, None)
    assert plan.estimate.unknown == ("s1",)
    assert plan.estimate.variants == ()
    assert [job.expected_s is None for job in plan.jobs] == [False, True]


def test_an_unknown_price_makes_the_cost_unknown_but_not_the_time() -> None:
    unpriced = Catalog(
        "r", date(2026, 1, 1), date(2026, 1, 1), (InstanceType("c1.small", 2, 4096, 4096),)
    )
    plan = plan_of(chain(SMALL), make_run({"s0": 10}), catalog=unpriced)
    assert plan.estimate is not None
    assert (plan.estimate.cost_usd, plan.estimate.wall_s) == (None, STARTUP + 10)


def test_the_time_of_a_run_is_its_critical_path() -> None:
    def make_step(name: str, *inputs: str) -> Step:
        return step(name=name, inputs=list(inputs), outputs=[f"{name}_out"], resources=SMALL)(
            lambda **values: 1
        )

    steps = [make_step("a"), make_step("b"), make_step("c", "a_out", "b_out")]
    plan = plan_of(steps, make_run({"a": 100, "b": 500, "c": 10}, on="c1.small"))
    assert plan.estimate is not None
    assert plan.estimate.wall_s == 2 * STARTUP + 510


def decided(group: str | None = None) -> tuple[StepGraph, tuple[StepGroup, ...]]:
    """Return a pipeline whose decision chooses between `deploy` and `retrain`, before `report`."""
    named = {
        name: step(name=name, resources=SMALL, execution_group=group)(lambda: 1)
        for name in ("evaluate", "deploy", "retrain")
    }

    @step(inputs=["deploy", "retrain"], resources=SMALL)
    def report(deploy: object = None, retrain: object = None) -> int:
        return 1

    pipeline = Pipeline("p").add_step(named["evaluate"])
    flow = If(lambda evaluate: evaluate, named["deploy"], named["retrain"], name="good")
    steps = pipeline.add_control_flow(flow).add_step(report).all_steps
    built, problems = build_pipeline(bind_steps(steps), ())
    assert built is not None and not problems
    return built.graph, built.groups


BRANCH_TIMES = {"evaluate": 10, "if:good": 0, "deploy": 100, "retrain": 900, "report": 20}


def test_of_the_branches_of_a_decision_the_one_with_the_highest_cost_counts() -> None:
    history = [make_run(BRANCH_TIMES, on="c1.small")]
    targets = offline_targets(CATALOG)
    plan = make_plan("p", Placement("batch"), *decided(), targets, CATALOG, history)
    assert plan.estimate is not None
    assert plan.estimate.wall_s == 3 * STARTUP + 930
    assert plan.estimate.cost_usd == pytest.approx(0.1 * (3 * STARTUP + 930) / 3600)
    assert plan.expected_label == "expected at most"
    assert plan.peak_usd_hour == pytest.approx(0.3)
    assert {job.name: job.cases for job in plan.jobs} == {
        "evaluate": (),
        "deploy": (Branch("if:good", "then"),),
        "retrain": (Branch("if:good", "else"),),
        "report": (),
    }


def test_branches_in_one_job_are_not_added() -> None:
    history = [make_run(BRANCH_TIMES, on="c1.small")]
    targets = offline_targets(CATALOG)
    plan = make_plan("p", Placement("batch"), *decided("all"), targets, CATALOG, history)
    assert plan.jobs[0].steps == ("evaluate", "if:good", "deploy", "retrain")
    assert plan.jobs[0].expected_s == STARTUP + 910
    split = variants(plan)
    assert (split["cheapest split"].cost_usd or 0) <= (split["as grouped"].cost_usd or 0)


def test_the_split_that_frees_an_idle_gpu_is_found_with_its_parts() -> None:
    plan = plan_of(
        chain(SMALL, GPU, SMALL), make_run({"s0": 3600, "s1": 60, "s2": 3600}, on="g1.gpu")
    )
    by_name = variants(plan)
    assert by_name["cheapest split"].cuts == {"all": (("s0",), ("s1",), ("s2",))}
    assert by_name["cheapest split"].cost_usd == by_name["each step alone"].cost_usd
    assert (by_name["cheapest split"].cost_usd or 0) < (by_name["as grouped"].cost_usd or 0)
    assert any(
        "only 's1' used the GPU, for 1.0 of the group's 121.0" in n for n in plan.jobs[0].notes
    )


def test_the_cheapest_split_is_the_grouping_if_no_split_is_cheaper() -> None:
    plan = plan_of(chain(SMALL, GPU, SMALL), make_run({"s0": 1, "s1": 600, "s2": 1}, on="g1.gpu"))
    by_name = variants(plan)
    assert by_name["cheapest split"].cost_usd == by_name["as grouped"].cost_usd
    assert by_name["cheapest split"].cuts == {}
    assert (by_name["each step alone"].jobs, by_name["as grouped"].jobs) == (3, 1)


def test_a_briefly_idle_gpu_is_not_reported() -> None:
    plan = plan_of(chain(SMALL, GPU), make_run({"s0": 50, "s1": 1}, on="g1.gpu"))
    assert not any("GPU" in note for note in plan.jobs[0].notes)


def test_before_any_run_a_single_gpu_step_in_a_group_gets_a_note() -> None:
    plan = plan_of(chain(SMALL, GPU))
    assert (
        "only step 's1' requests a GPU: the other steps occupy it while they run"
        in plan.jobs[0].notes
    )


def test_a_run_on_this_machine_has_a_time_and_no_cost() -> None:
    plan = plan_of(chain(SMALL, SMALL), make_run({"s0": 1, "s1": 2}, on=None), backend="local")
    assert plan.estimate is not None
    assert (plan.estimate.cost_usd, plan.estimate.variants) == (None, ())
    assert plan.estimate.wall_s == 3 + service_traits("local").startup_s


def test_the_newest_size_of_an_asset_of_the_plan_is_kept() -> None:
    runs = [make_run({"s0": 1}, a0=10, other=7), make_run({"s0": 1}, a0=20)]
    assert plan_of(chain(SMALL), *runs).asset_bytes == {"a0": 10}


def all_cuts(steps: Sequence[Step]) -> list[list[list[Step]]]:
    if not steps:
        return [[]]
    return [
        [list(steps[:n]), *rest] for n in range(1, len(steps) + 1) for rest in all_cuts(steps[n:])
    ]


def runs_of(times: Sequence[Mapping[str, int]]) -> list[RunTimes]:
    """Return one run per instance type, with the steps that were measured on it."""
    return [
        make_run({f"s{n}": float(on[name]) for n, on in enumerate(times) if name in on}, on=name)
        for name in sorted({name for on in times for name in on})
    ]


def cost_of(parts: Sequence[Sequence[Step]], times: Sequence[Mapping[str, int]]) -> float:
    total = 0.0
    for part in parts:
        needs = needs_of(merge_resources([r for s in part if (r := s.requirements()) is not None]))
        selection = select(needs, offline_targets(CATALOG), CATALOG)
        measured = [times[int(s.name[1:])] for s in part]
        seconds = sum(t.get(selection.instance_type, median(t.values())) for t in measured)
        total += (selection.price_usd_hour or 0) * (STARTUP + seconds) / 3600
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
    steps_and_times: list[tuple[ResourceRequirements | None, dict[str, int]]],
) -> None:
    resources = [r for r, _ in steps_and_times]
    if GPU in resources and LARGE in resources:
        resources = [SMALL if r == LARGE else r for r in resources]  # no type has both
    steps = chain(*resources)
    times = [on for _, on in steps_and_times]
    by_name = variants(plan_of(steps, *runs_of(times)))
    cheapest = min(cost_of(cut, times) for cut in all_cuts(steps))
    assert by_name["cheapest split"].cost_usd == pytest.approx(cheapest)
    assert by_name["as grouped"].cost_usd == pytest.approx(cost_of([steps], times))
    alone = cost_of([[s] for s in steps], times)
    assert by_name["each step alone"].cost_usd == pytest.approx(alone)


def test_each_step_alone_takes_its_time_and_a_startup() -> None:
    steps = chain(SMALL, SMALL, SMALL)
    by_name = variants(plan_of(steps, make_run({"s0": 10, "s1": 20, "s2": 30})))
    assert by_name["each step alone"].wall_s == 3 * STARTUP + 60
    assert by_name["as grouped"].wall_s == STARTUP + 60


def test_a_long_group_is_cut_where_its_needs_change() -> None:
    steps = chain(*[SMALL] * 150, *[GPU] * 150)
    by_name = variants(plan_of(steps, make_run({step.name: 100 for step in steps})))
    names = tuple(step.name for step in steps)
    assert by_name["cheapest split"].cuts == {"all": (names[:150], names[150:])}
