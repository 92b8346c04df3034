"""The instance types that Batch may start for a job."""

from __future__ import annotations

from dataclasses import replace

from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.selection import select
from flowyml_aws.planning.startable import startable_types
from flowyml_aws.planning.targets import Target, TypePool
from tests.planning.selection_inputs import BATCH, REAL, SAGEMAKER, make_needs, queue

T4 = make_needs(cpu="2", memory="4Gi", gpu="t4")


def startable(needs: Needs, *targets: Target) -> list[str]:
    selection = select(needs, targets, REAL)
    return [c.name for c in startable_types(needs, selection.best, REAL)]


def with_pools(*pools: TypePool) -> Target:
    names = tuple(name for pool in pools for name in pool.types)
    return replace(queue("t4", *names), pools=pools)


def test_a_queue_may_start_every_type_that_is_large_enough_cheapest_first() -> None:
    names = startable(T4, queue("t4", "g4dn.4xlarge", "g4dn.xlarge", "g4dn.2xlarge"))
    assert names == ["g4dn.xlarge", "g4dn.2xlarge", "g4dn.4xlarge"]


def test_types_that_are_too_small_are_not_started() -> None:
    needs = make_needs(cpu="6", memory="4Gi", gpu="t4")
    assert startable(needs, queue("t4", "g4dn.xlarge", "g4dn.2xlarge")) == ["g4dn.2xlarge"]


def test_batch_may_exceed_the_limit_of_an_environment_by_one_large_instance() -> None:
    small = replace(
        queue("h100", "p5.4xlarge"), pools=(TypePool(("p5.4xlarge", "p5.48xlarge"), 16),)
    )
    needs = make_needs(cpu="4", memory="8Gi", gpu="h100")
    assert startable(needs, small) == ["p5.4xlarge", "p5.48xlarge"]


def test_an_environment_whose_limit_is_below_the_job_starts_nothing_for_it() -> None:
    needs = make_needs(cpu="6", memory="4Gi", gpu="t4")
    target = with_pools(TypePool(("g4dn.2xlarge",), 64), TypePool(("g4dn.8xlarge",), 4))
    assert startable(needs, target) == ["g4dn.2xlarge"]


def test_best_fit_starts_only_the_cheapest_type_of_each_environment() -> None:
    target = with_pools(
        TypePool(("g4dn.xlarge", "g4dn.8xlarge"), 64, starts_cheapest=True),
        TypePool(("g4dn.2xlarge", "g4dn.4xlarge"), 64, starts_cheapest=True),
    )
    assert startable(T4, target) == ["g4dn.xlarge", "g4dn.2xlarge"]


def test_best_fit_never_exceeds_its_limit() -> None:
    target = with_pools(
        TypePool(("g4dn.xlarge",), 64, starts_cheapest=True),
        TypePool(("g4dn.8xlarge",), 16, starts_cheapest=True),
    )
    assert startable(T4, target) == ["g4dn.xlarge"]


def test_batch_ignores_a_required_instance_type() -> None:
    needs = replace(T4, required=(("node.kubernetes.io/instance-type", "g4dn.xlarge"),))
    assert startable(needs, queue("t4", "g4dn.xlarge", "g4dn.2xlarge")) == [
        "g4dn.xlarge",
        "g4dn.2xlarge",
    ]


def test_the_planned_type_is_started_where_the_plan_decides() -> None:
    assert startable(T4, *SAGEMAKER) == ["ml.g4dn.xlarge"]
    assert startable(T4, *BATCH) == ["g4dn.xlarge"]
