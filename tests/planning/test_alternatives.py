from __future__ import annotations

from typing import Any

import pytest

from flowyml_aws.artifacts.documents import read_document
from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.planning.alternatives import allowed_moves, is_affordable, with_alternatives
from flowyml_aws.planning.limits import Limits
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.offers import SelectedOffers, Selector
from flowyml_aws.planning.plan import Alternative, Estimate, ExecutionPlan, PlannedJob
from flowyml_aws.planning.targets import CAPACITY_LABEL, Target
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.submission.moves import machine_after
from tests.support.plans import a_job, a_plan

CATALOG = load_catalog()
CPU = Target("cpu", "batch", ("m6i.large", "m6i.2xlarge", "m6i.4xlarge"))
SPOT = Target("spot", "batch", ("m6i.large", "m6i.2xlarge"), capacity="spot")
OTHER_SPOT = Target("other-spot", "batch", ("m5.large", "m5.2xlarge"), capacity="spot")
P4D = Target("p4d", "batch", ("p4d.24xlarge",))
P4DE = Target("p4de", "batch", ("p4de.24xlarge",))
T4 = Target("t4", "batch", ("g4dn.xlarge", "g4dn.2xlarge"))


def planned(
    needs: Needs, *targets: Target, backend: str = "batch", **members: Any
) -> ExecutionPlan:
    """Return the plan of one job."""
    selected = Selector(backend, targets, CATALOG).select_for(needs)
    assert isinstance(selected, SelectedOffers)
    members = {"backend": backend, **selected.placement(backend), **members}
    job = a_job("train", **members).model_copy(update={"needs": needs})
    return with_alternatives(a_plan(job), targets, CATALOG)


def job_of(plan: ExecutionPlan) -> PlannedJob:
    return plan.jobs[0]


def after(plan: ExecutionPlan, *causes: Cause) -> Alternative:
    """Return where the job is after a move for each of these causes."""
    moves, place = job_of(plan).moves, None
    for cause in causes:
        place = plan.alternatives[moves[cause]]
        moves = place.moves
    assert place is not None
    return place


def test_a_job_without_enough_memory_moves_to_twice_the_memory() -> None:
    plan = planned(Needs(vcpus=2, memory_mib=5000), CPU)
    larger = after(plan, Cause.OUT_OF_MEMORY)
    assert larger.needs.memory_mib == 10_000
    assert larger.offers[0].instance_type == "m6i.2xlarge"


def test_a_job_grows_once() -> None:
    plan = planned(Needs(vcpus=2, memory_mib=2048), CPU)
    assert Cause.OUT_OF_MEMORY in job_of(plan).moves
    assert after(plan, Cause.OUT_OF_MEMORY).moves == {}


def test_a_job_does_not_move_if_no_larger_type_exists() -> None:
    plan = planned(Needs(vcpus=2, memory_mib=60_000), CPU)
    assert job_of(plan).moves == {}


def test_on_sagemaker_the_memory_that_was_used_up_is_that_of_the_machine() -> None:
    target = Target(
        "training", "sagemaker", ("ml.m5.large", "ml.m5.xlarge", "ml.m5.2xlarge"), placed_by="plan"
    )
    plan = planned(Needs(vcpus=1, memory_mib=2048), target, backend="sagemaker")
    assert job_of(plan).instance_type == "ml.m5.large"
    assert after(plan, Cause.OUT_OF_MEMORY).offers[0].instance_type == "ml.m5.xlarge"


def test_on_sagemaker_a_full_disk_gets_a_larger_volume_of_the_same_type() -> None:
    target = Target("training", "sagemaker", ("ml.m5.large",), placed_by="plan")
    plan = planned(Needs(vcpus=1, storage_gib=100), target, backend="sagemaker")
    assert after(plan, Cause.DISK_FULL).volume_gib == 200
    default = planned(Needs(vcpus=1), target, backend="sagemaker")
    assert job_of(default).volume_gib == 30
    assert after(default, Cause.DISK_FULL).volume_gib == 60


def test_a_gpu_with_more_memory_is_of_the_same_model() -> None:
    plan = planned(Needs(vcpus=8, gpu_model="a100", gpu_count=8), P4D, P4DE)
    assert job_of(plan).instance_type == "p4d.24xlarge"
    assert after(plan, Cause.GPU_OUT_OF_MEMORY).offers[0].instance_type == "p4de.24xlarge"
    no_larger_t4 = planned(Needs(gpu_model="t4", gpu_count=1), T4)
    assert Cause.GPU_OUT_OF_MEMORY not in job_of(no_larger_t4).moves


def test_a_job_that_loses_its_spot_hosts_moves_to_other_spot_capacity_then_on_demand() -> None:
    plan = planned(Needs(vcpus=2, memory_mib=4096), SPOT, OTHER_SPOT, CPU)
    places = [
        job_of(plan).target,
        after(plan, Cause.CAPACITY).target,
        after(plan, Cause.CAPACITY, Cause.CAPACITY).target,
    ]
    assert set(places[:2]) == {"spot", "other-spot"}
    assert places[2] == "cpu"
    assert Cause.CAPACITY not in after(plan, Cause.CAPACITY, Cause.CAPACITY).moves


def test_spot_capacity_without_another_target_is_tried_again_and_again() -> None:
    only_spot = ((CAPACITY_LABEL, "spot"),)
    plan = planned(Needs(vcpus=2, memory_mib=4096, required=only_spot), CPU, SPOT)
    assert {after(plan, *[Cause.CAPACITY] * times).target for times in (1, 2, 7)} == {"spot"}
    assert len(plan.alternatives) <= 4


def test_a_job_on_demand_never_moves_to_spot_capacity() -> None:
    on_demand = ((CAPACITY_LABEL, "on-demand"),)
    plan = planned(Needs(vcpus=2, memory_mib=4096, required=on_demand), CPU, SPOT)
    assert job_of(plan).target == "cpu"
    assert Cause.CAPACITY not in job_of(plan).moves


def test_a_job_that_grew_can_still_leave_its_spot_capacity() -> None:
    plan = planned(Needs(vcpus=2, memory_mib=4096), SPOT, CPU)
    place = after(plan, Cause.OUT_OF_MEMORY, Cause.CAPACITY)
    assert (place.target, place.needs.memory_mib) == ("cpu", 8192)


def test_jobs_with_equal_needs_share_their_alternatives() -> None:
    plan = planned(Needs(vcpus=2, memory_mib=4096), SPOT, CPU)
    twice = with_alternatives(
        plan.model_copy(update={"jobs": (job_of(plan), job_of(plan))}), (SPOT, CPU), CATALOG
    )
    assert twice.alternatives == plan.alternatives


def test_the_price_of_every_alternative_is_known_to_the_plan() -> None:
    plan = planned(Needs(vcpus=2, memory_mib=5000), CPU)
    larger = after(plan, Cause.OUT_OF_MEMORY).offers[0]
    assert larger in plan.startable["cpu"]


def test_a_plan_with_alternatives_survives_the_store() -> None:
    plan = planned(Needs(vcpus=2, memory_mib=4096), SPOT, CPU)
    assert read_document(ExecutionPlan, plan.to_json(), "plan.json") == plan


@pytest.mark.parametrize(("limit", "moves"), [(0.3, 0), (0.8, 1), (None, 1)])
def test_no_job_moves_to_a_type_above_the_price_limit(limit: float | None, moves: int) -> None:
    plan = planned(Needs(vcpus=2, memory_mib=5000), CPU)  # Batch may start m6i.4xlarge
    assert len(job_of(allowed_moves(plan, Limits(price_usd_hour=limit))).moves) == moves


def test_jobs_that_may_move_as_planned_are_not_copied() -> None:
    plan = planned(Needs(vcpus=2, memory_mib=5000), CPU)
    assert job_of(plan).moves
    assert job_of(allowed_moves(plan, Limits())) is job_of(plan)


def test_a_move_says_what_changes_if_the_type_remains() -> None:
    same = planned(Needs(vcpus=2, memory_mib=2048), CPU)
    text = machine_after(job_of(same), after(same, Cause.OUT_OF_MEMORY))
    assert text == "m6i.large at $0.096/h, 4Gi memory, on demand, on cpu"
    target = Target("training", "sagemaker", ("ml.m5.large",), placed_by="plan")
    disk = planned(Needs(vcpus=1), target, backend="sagemaker")
    text = machine_after(job_of(disk), after(disk, Cause.DISK_FULL))
    assert text == "ml.m5.large at $0.115/h, 60Gi disk, on demand, on training"


def with_estimate(
    plan: ExecutionPlan, cost_usd: float | None, max_cost_usd: float
) -> ExecutionPlan:
    estimate = Estimate(
        runs=1, startup_s=0, cost_usd=cost_usd, wall_s=None, unknown=(), variants=()
    )
    return plan.model_copy(update={"estimate": estimate, "max_cost_usd": max_cost_usd})


def test_a_move_may_not_exceed_the_cost_limit() -> None:
    plan = planned(Needs(vcpus=2, memory_mib=5000), CPU, expected_s=3600.0)
    job, larger = job_of(plan), after(plan, Cause.OUT_OF_MEMORY)
    price = larger.highest_price_usd_hour
    assert price is not None
    assert is_affordable(plan, job, larger)
    assert is_affordable(with_estimate(plan, 0.1, 0.11 + price), job, larger)
    assert not is_affordable(with_estimate(plan, 0.1, 0.09 + price), job, larger)
    assert not is_affordable(with_estimate(plan, None, 100.0), job, larger)


def test_moves_so_far_count_towards_the_cost_limit() -> None:
    plan = planned(Needs(vcpus=2, memory_mib=5000), CPU, expected_s=3600.0)
    job, larger = job_of(plan), after(plan, Cause.OUT_OF_MEMORY)
    price = larger.highest_price_usd_hour
    assert price is not None
    moved = job.model_copy(update={"name": "other", "moved": 1, "highest": larger.offers[0]})
    both = with_estimate(plan.model_copy(update={"jobs": (job, moved)}), 0.2, 0.3 + price)
    assert not is_affordable(both, job, larger)
    assert is_affordable(both.model_copy(update={"max_cost_usd": 0.3 + 2 * price}), job, larger)
