"""Plans of jobs with several nodes: prices, spot capacity, EFA, limits and idle nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any, Literal

import pytest

from flowyml_aws.artifacts.documents import read_document
from flowyml_aws.catalog.types import Catalog, InstanceType
from flowyml_aws.core.auto_resources import Auto, DeclaredResources
from flowyml_aws.core.errors import InvalidPipelineError, InvalidResourcesError
from flowyml_aws.core.graph import read_graph
from flowyml_aws.core.resources import NodeAffinity, ResourceRequirements
from flowyml_aws.core.spot import SpotRule
from flowyml_aws.core.step import Step, step
from flowyml_aws.core.step_grouping import group_steps
from flowyml_aws.planning.cost_shares import attempt_limit_s, with_shares
from flowyml_aws.planning.history import RunTimes
from flowyml_aws.planning.limits import Limits, over_limits
from flowyml_aws.planning.make import make_plan
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.nodes import EFA_LABEL, NodeLimit
from flowyml_aws.planning.offers import Selector
from flowyml_aws.planning.placement import Placement
from flowyml_aws.planning.plan import ExecutionPlan, InstanceOffer
from flowyml_aws.planning.replan import change_needs, replan
from flowyml_aws.planning.selection import select
from flowyml_aws.planning.services import service_traits
from flowyml_aws.planning.startable import startable_types
from flowyml_aws.planning.targets import Obstacle, Target, TypePool, candidates_on
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.moves import machine_after
from flowyml_aws.submission.status import JobView
from tests.planning.selection_inputs import no_fit_error
from tests.support.histories import a_run

DAY = date(2026, 1, 1)
CATALOG = Catalog(
    "r",
    DAY,
    DAY,
    (
        InstanceType(
            *("c1.small", 2, 4096, 4096),
            price_usd_hour=0.5,
            spot_usd_hour=0.25,
            sagemaker_name="ml.c1.small",
            sagemaker_price_usd_hour=0.6,
        ),
        InstanceType("c1.large", 4, 8192, 8192, price_usd_hour=1.0),
        InstanceType("c1.efa", 4, 8192, 8192, price_usd_hour=1.0, efa=True),
        InstanceType("c2.huge", 8, 16384, 16384, price_usd_hour=2.0, efa=True),
    ),
)
ALL = tuple(t.name for t in CATALOG.types)
QUEUE = Target("cpu", "batch", ALL)
FOUR = ResourceRequirements(cpu=2, memory="2Gi", nodes=4)


def a_step(name: str, resources: DeclaredResources = None, **members: Any) -> Step:
    return step(name=name, resources=resources, **members)(lambda **_: None)


def plan_of(
    *steps: Step,
    targets: Sequence[Target] = (QUEUE,),
    spot: SpotRule | None = None,
    history: Sequence[RunTimes] = (),
) -> ExecutionPlan:
    graph, problems = read_graph(steps)
    assert graph is not None, problems
    groups = group_steps(graph.steps)
    placement = Placement(targets[0].kind)
    return make_plan("p", placement, graph, groups, targets, CATALOG, history, spot=spot)


def needs(vcpus: int, nodes: int, **labels: Any) -> Needs:
    return Needs(vcpus=vcpus, memory_mib=2048, nodes=nodes, **labels)


def selected(needs: Needs, *targets: Target) -> str:
    return select(needs, targets or (QUEUE,), CATALOG).instance_type


def test_the_price_of_a_job_is_that_of_all_nodes() -> None:
    plan = plan_of(a_step("train", FOUR), history=[a_run({"train": None})])
    (job,) = plan.jobs
    assert (job.machines, job.price_usd_hour) == ("4 x c1.small", 2.0)
    assert job.highest_price_usd_hour == 8.0  # Batch may start four of any type
    assert plan.peak_usd_hour == 2.0
    assert plan.estimate is not None
    assert job.expected_s is not None
    assert plan.estimate.cost_usd == pytest.approx(2.0 * job.expected_s / 3600)


def test_a_cost_limit_buys_a_quarter_of_the_time_on_four_nodes() -> None:
    limits_s = []
    for nodes in (1, 4):
        resources = replace(FOUR, nodes=nodes)
        plan = plan_of(a_step("train", resources, timeout=36000))
        (job,) = with_shares(plan.model_copy(update={"max_cost_usd": 8.0})).jobs
        limit_s = attempt_limit_s(job)
        assert limit_s is not None
        limits_s.append(limit_s + service_traits("batch").startup_s)
    assert limits_s[0] == pytest.approx(4 * limits_s[1], rel=0.01)


def test_a_price_limit_counts_all_nodes() -> None:
    plan = plan_of(a_step("train", FOUR))
    (error,) = over_limits(plan, Limits(price_usd_hour=7.0))
    assert error.what == "Job 'train': 4 x c2.huge costs $8.00 an hour"
    assert "instead of 4 x c1.small, which costs $2.00" in error.why
    assert over_limits(plan, Limits(price_usd_hour=8.0)) == []


def test_a_job_that_runs_out_of_memory_moves_to_a_larger_type_on_all_nodes() -> None:
    plan = plan_of(a_step("train", replace(FOUR, memory="3Gi")))
    (job,) = plan.jobs
    place = plan.alternatives[job.moves[Cause.OUT_OF_MEMORY]]
    assert place.needs.nodes == 4
    assert machine_after(job, place).startswith("4 x c1.efa at $4.00/h")


def test_jobs_of_one_queue_with_different_numbers_of_nodes_have_different_prices() -> None:
    one = a_step("one", ResourceRequirements(cpu=2, memory="2Gi"))
    plan = plan_of(one, a_step("four", FOUR))
    jobs = {job.name: job for job in plan.jobs}
    assert plan.price_of(jobs["one"], "c2.huge") == 2.0
    assert plan.price_of(jobs["four"], "c2.huge") == 8.0
    assert plan.price_of(jobs["four"], "x9.large") is None


def test_a_running_job_shows_its_nodes() -> None:
    plan = plan_of(a_step("train", FOUR))
    (job,) = plan.jobs
    assert JobView(job, JobState.RUNNING).location == "4 x c1.small (cpu)"
    other = plan.offer_of(job, "c1.large")
    assert JobView(job, JobState.RUNNING, ran_on=other).location == "4 x c1.large (cpu)"


def test_an_offer_without_a_number_of_nodes_is_one_machine() -> None:
    data = b'{"instance_type": "m5.large", "price_usd_hour": 0.1, "price_basis": "spot"}'
    offer = read_document(InstanceOffer, data, "x")
    assert (offer.nodes, offer.machines) == (1, "m5.large")


def test_a_group_gets_the_largest_number_of_nodes() -> None:
    plan = plan_of(
        a_step("a", ResourceRequirements(nodes=2), execution_group="g"),
        a_step("b", ResourceRequirements(nodes=3), execution_group="g"),
    )
    assert [job.needs.nodes for job in plan.jobs] == [3]


def test_auto_resources_keep_the_declared_nodes() -> None:
    (job,) = plan_of(a_step("train", Auto(minimum={"nodes": 4}))).jobs
    assert job.needs.nodes == 4
    assert job.offers[0].nodes == 4


def test_steps_that_leave_nodes_idle_are_noted_with_the_price_of_the_rest() -> None:
    plan = plan_of(
        a_step("load", execution_group="g"),
        a_step("train", FOUR, execution_group="g", after=["load"]),
        a_step("check", execution_group="g", after=["train"]),
    )
    note = "steps 'load', 'check' use 1 of 4 nodes: the rest waits, at $1.50 an hour"
    assert note in plan.jobs[0].notes


def test_a_job_whose_steps_use_all_nodes_has_no_note() -> None:
    (job,) = plan_of(a_step("train", FOUR)).jobs
    assert not any("nodes" in note for note in job.notes)


def on_spot(service: str) -> Target:
    return replace(QUEUE, name="spot", kind=service, capacity="spot", placed_by="plan")


def test_only_spot_capacity_is_refused_if_the_service_cannot_run_nodes_on_it() -> None:
    with pytest.raises(InvalidPipelineError) as refused:
        plan_of(a_step("train", FOUR), targets=(on_spot("batch"), QUEUE), spot="always")
    (error,) = refused.value.problems
    assert "AWS Batch can't run several nodes on spot capacity" in error.why
    assert error.fix == 'use capacity on demand: spot="never" or spot="prefer"'


def test_preferred_spot_capacity_is_replaced_by_capacity_on_demand_with_a_note() -> None:
    (job,) = plan_of(a_step("train", FOUR), targets=(on_spot("batch"), QUEUE), spot="prefer").jobs
    assert (job.target, job.capacity) == ("cpu", "on-demand")
    note = "AWS Batch can't run several nodes on spot capacity: capacity on demand is used"
    assert note in job.notes


@pytest.mark.parametrize("rule", ["always", "prefer"])
def test_a_service_that_can_runs_nodes_on_spot_capacity(rule: Literal["always", "prefer"]) -> None:
    (job,) = plan_of(a_step("train", FOUR), targets=(on_spot("sagemaker"),), spot=rule).jobs
    assert (job.capacity, job.offers[0].machines) == ("spot", "4 x ml.c1.small")


def test_a_single_node_still_uses_spot_capacity_of_batch() -> None:
    (job,) = plan_of(a_step("one"), targets=(on_spot("batch"), QUEUE), spot="prefer").jobs
    assert job.capacity == "spot"


def test_types_with_efa_come_first_at_equal_prices_if_there_are_several_nodes() -> None:
    assert selected(needs(4, nodes=2)) == "c1.efa"
    assert selected(needs(2, nodes=2)) == "c1.small"  # a lower price counts more
    newest = replace(CATALOG.types[1], name="c9.large")
    catalog = replace(CATALOG, types=(*CATALOG.types, newest))
    queue = Target("cpu", "batch", (*ALL, "c9.large"))
    assert select(needs(4, nodes=1), [queue], catalog).instance_type == "c9.large"
    assert select(needs(4, nodes=2), [queue], catalog).instance_type == "c1.efa"


def test_a_preferred_or_required_efa_counts_more_than_the_price() -> None:
    label = ((EFA_LABEL, "true"),)
    assert selected(needs(2, nodes=2, preferred=label)) == "c1.efa"
    assert selected(needs(2, nodes=2, required=label)) == "c1.efa"
    assert selected(needs(4, nodes=2, required=((EFA_LABEL, "false"),))) == "c1.large"


def test_a_missing_efa_is_noted_if_it_is_preferred_and_refused_if_it_is_required() -> None:
    queue = Target("cpu", "batch", ("c1.small",))
    label = ((EFA_LABEL, "true"),)
    preferring = select(needs(2, nodes=2, preferred=label), [queue], CATALOG)
    assert "c1.small has no EFA, although it is preferred" in preferring.notes
    error = no_fit_error(needs(2, nodes=2, required=label), [queue], CATALOG)
    assert "c1.small: it has no EFA" in error.why


def test_a_step_takes_as_long_as_in_earlier_jobs_with_as_many_nodes() -> None:
    eight, four = (a_run({"train": None}, seconds=s, nodes=n) for s, n in ((10.0, 8), (20.0, 4)))
    plan = plan_of(a_step("train", FOUR), history=[eight, eight, four])
    startup_s = service_traits("batch").startup_s
    assert plan.jobs[0].expected_s == startup_s + 20
    assert plan.notes == ("expected times of 'train' were measured on other instance types",)
    other = plan_of(a_step("train", FOUR), history=[eight])
    assert other.jobs[0].expected_s == startup_s + 10
    assert other.notes[-1] == (
        "expected times of 'train' were measured in jobs with another number of nodes"
    )


def test_times_on_a_single_machine_are_stored_as_before() -> None:
    (one, four) = (a_run({"train": None}, nodes=n).to_json() for n in (1, 4))
    assert b'"nodes"' not in one
    assert read_document(RunTimes, one, "one").steps["train"].nodes == 1
    assert read_document(RunTimes, four, "four").steps["train"].nodes == 4


NO_EFA = Obstacle("its compute environments are without EFA", "create some with EFA")
WITHOUT_EFA = replace(QUEUE, name="plain", efa_obstacle=NO_EFA)


def test_a_target_without_efa_is_refused_for_nodes_that_require_it_with_the_fix() -> None:
    label = ((EFA_LABEL, "true"),)
    error = no_fit_error(needs(2, nodes=2, required=label), [WITHOUT_EFA], CATALOG)
    assert error.why == "target 'plain': its compute environments are without EFA"
    assert error.fix.startswith("create some with EFA; or ")
    assert selected(needs(2, nodes=1, required=label), WITHOUT_EFA) == "c1.efa"  # has no use for it


def test_a_target_without_efa_is_noted_for_nodes_that_prefer_it() -> None:
    preferring = needs(2, nodes=2, preferred=((EFA_LABEL, "true"),))
    (note,) = select(preferring, [WITHOUT_EFA], CATALOG).notes
    assert note == (
        "target 'plain' has no EFA, although it is preferred: its compute environments are without "
        "EFA; to have EFA, create some with EFA"
    )
    both = select(preferring, [WITHOUT_EFA, replace(QUEUE, efa_interfaces=1)], CATALOG)
    assert (both.target.name, both.instance_type, both.notes) == ("cpu", "c1.efa", ())


def test_types_of_a_target_without_efa_have_no_advantage() -> None:
    queue = replace(WITHOUT_EFA, instance_types=(*ALL, "c9.large"))
    catalog = replace(CATALOG, types=(*CATALOG.types, replace(CATALOG.types[1], name="c9.large")))
    assert select(needs(4, nodes=2), [queue], catalog).instance_type == "c9.large"


def test_nodes_get_the_efa_of_their_target_also_after_a_move() -> None:
    with_four, with_one = replace(QUEUE, efa_interfaces=4), replace(QUEUE, efa_interfaces=1)
    plan = plan_of(a_step("train", FOUR), a_step("one"), targets=[with_four])
    assert [job.efa_interfaces for job in plan.jobs] == [4, 0]
    (alternative,) = {a.efa_interfaces for a in plan.alternatives if a.needs.nodes > 1}
    assert alternative == 4
    job = plan.jobs[0]
    moved = replan(plan, "train", job.needs, Selector("batch", [with_one], CATALOG)).jobs[0]
    assert moved.efa_interfaces == 1


LIMITED = replace(QUEUE, node_limits={"c1.small": NodeLimit(2, "its quota is 2")})


def test_a_type_with_too_low_a_limit_is_replaced_with_a_note() -> None:
    selection = select(needs(2, nodes=4), [LIMITED], CATALOG)
    assert selection.instance_type == "c1.efa"
    assert "c1.small would fit for $2.00 an hour, but its quota is 2" in selection.notes
    reasons = {r.instance_type: r.reason for r in selection.rejections()}
    assert reasons["c1.small"] == "its quota is 2"


def test_a_limit_counts_only_for_jobs_with_more_nodes() -> None:
    assert selected(needs(2, nodes=2), LIMITED) == "c1.small"


def test_a_limit_of_every_type_is_the_reason_of_the_error() -> None:
    only = replace(LIMITED, instance_types=("c1.small",))
    error = no_fit_error(needs(2, nodes=4), [only], CATALOG)
    assert error.what == "No instance type fits 4 nodes, each 2 vCPUs, 2Gi memory"
    assert "4 x c1.small would fit, but its quota is 2" in error.why
    assert error.fix == "lift that limit, or request at most 2 nodes"


def test_a_limit_keeps_a_type_out_of_the_near_misses() -> None:
    limited = replace(LIMITED, instance_types=("c1.small", "c2.huge"))
    misses = select(needs(2, nodes=2), [QUEUE], CATALOG).near_misses()
    assert misses == ()
    over = replace(needs(2, nodes=4), memory_mib=4500)
    assert [m.candidate.name for m in select(over, [QUEUE], CATALOG).near_misses()] == ["c1.small"]
    assert select(over, [limited], CATALOG).near_misses() == ()


def test_a_pool_must_have_the_vcpus_of_all_nodes() -> None:
    queue = replace(QUEUE, pools=(TypePool(ALL, max_vcpus=12, starts_cheapest=True),))
    best = candidates_on(queue, CATALOG)[0]

    def startable(nodes: int) -> list[str]:
        return [c.name for c in startable_types(needs(4, nodes), best, CATALOG)]

    assert startable(3) == ["c1.small", "c1.efa"]
    assert startable(4) == ["c1.small"]  # only the planned one


def test_a_resumed_run_keeps_its_number_of_nodes() -> None:
    with pytest.raises(InvalidResourcesError, match="can't be changed from 4 to 2"):
        change_needs(needs(2, nodes=4), ResourceRequirements(nodes=2))
    changed = change_needs(needs(2, nodes=4), ResourceRequirements(cpu=4, nodes=4))
    assert (changed.vcpus, changed.nodes) == (4, 4)


def test_a_job_with_other_resources_keeps_the_price_of_all_nodes() -> None:
    plan = plan_of(a_step("train", FOUR))
    larger = replace(plan.jobs[0].needs, vcpus=8)
    (job,) = replan(plan, "train", larger, Selector("batch", [QUEUE], CATALOG)).jobs
    assert (job.machines, job.price_usd_hour) == ("4 x c2.huge", 8.0)


def test_a_required_label_of_efa_is_not_asked_of_the_target() -> None:
    affinity = NodeAffinity(required={EFA_LABEL: "true"})
    (job,) = plan_of(a_step("train", replace(FOUR, node_affinity=affinity))).jobs
    assert job.instance_type == "c1.efa"


def test_the_vcpus_of_all_environments_limit_the_nodes() -> None:
    queue = replace(QUEUE, pools=(TypePool(ALL, max_vcpus=8), TypePool(("c1.efa",), max_vcpus=16)))
    selection = select(needs(2, nodes=4), [queue], CATALOG)
    assert selection.instance_type == "c1.small"
    reasons = {r.instance_type: r.reason for r in selection.rejections()}
    assert reasons == {
        "c1.large": "the target allows 8 vCPUs in all",
        "c2.huge": "the target allows 8 vCPUs in all",
    }
    error = no_fit_error(needs(4, nodes=5), [queue], CATALOG)
    assert "5 x c1.efa would fit, but the target allows 16 vCPUs in all" in error.why
    assert "request at most 4 nodes" in error.fix
