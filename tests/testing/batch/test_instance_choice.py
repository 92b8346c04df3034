"""The choice of instance types of AWS Batch, on the prices of the catalog."""

from __future__ import annotations

from random import Random

import pytest

from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.testing.batch.instance_choice import Offer, Pool, Strategy, choose_type
from flowyml_aws.testing.capacity import Capacity

SMALL = Capacity(vcpus=2, memory_mib=2048)
ON_GPU = Capacity(vcpus=2, memory_mib=4096, gpus=1)


def offer(name: str) -> Offer:
    known = load_catalog().get(name)
    assert known is not None
    capacity = Capacity(known.vcpus, known.usable_memory_mib, known.gpu_count)
    return Offer(known.name, capacity, known.price_usd_hour)


def pool(*names: str, strategy: Strategy = "BEST_FIT_PROGRESSIVE", max_vcpus: int = 256) -> Pool:
    return Pool(strategy, max_vcpus, tuple(map(offer, names)))


def family(name: str, **members: object) -> Pool:
    return pool(*(t.name for t in load_catalog().types if t.family == name), **members)  # type: ignore[arg-type]


def chosen(pool: Pool, *waiting: Capacity, used_vcpus: int = 0) -> set[str]:
    """Return the types that are chosen with different seeds."""
    offers = [choose_type(pool, waiting, used_vcpus, Random(seed)) for seed in range(30)]
    return {offer.instance_type for offer in offers if offer is not None}


def test_a_family_starts_its_cheapest_types_per_vcpu_and_not_the_cheapest_that_fits() -> None:
    assert chosen(family("g4dn"), ON_GPU) == {"g4dn.4xlarge", "g4dn.8xlarge", "g4dn.16xlarge"}


def test_types_of_about_the_same_price_per_vcpu_are_all_possible() -> None:
    names = chosen(pool("c6i.large", "c6i.2xlarge", "c6i.8xlarge", "r6i.large"), SMALL)
    assert names == {"c6i.large", "c6i.2xlarge", "c6i.8xlarge"}


def test_the_same_seed_makes_the_same_choice() -> None:
    c6i = family("c6i")
    first, second = (choose_type(c6i, [SMALL], 0, Random(7)) for _ in range(2))
    assert first == second


def test_a_listed_size_is_the_only_choice() -> None:
    assert chosen(pool("g4dn.xlarge"), ON_GPU) == {"g4dn.xlarge"}


def test_many_small_jobs_start_a_large_instance() -> None:
    c6i = pool("c6i.large", "c6i.xlarge", "c6i.4xlarge", "c6i.8xlarge")
    assert chosen(c6i, *[SMALL] * 8) == {"c6i.4xlarge"}
    assert chosen(c6i, *[SMALL] * 100) == {"c6i.8xlarge"}


def test_best_fit_starts_the_cheapest_type_that_fits() -> None:
    assert chosen(family("g4dn", strategy="BEST_FIT"), ON_GPU) == {"g4dn.xlarge"}
    large = Capacity(vcpus=6, memory_mib=4096, gpus=1)
    assert chosen(family("g4dn", strategy="BEST_FIT"), large) == {"g4dn.2xlarge"}


def test_best_fit_never_exceeds_the_limit() -> None:
    limited = pool("g4dn.xlarge", strategy="BEST_FIT", max_vcpus=8)
    assert chosen(limited, ON_GPU, used_vcpus=4) == {"g4dn.xlarge"}
    assert chosen(limited, ON_GPU, used_vcpus=5) == set()


@pytest.mark.parametrize(
    "strategy", ["BEST_FIT_PROGRESSIVE", "SPOT_PRICE_CAPACITY_OPTIMIZED", "SPOT_CAPACITY_OPTIMIZED"]
)
def test_other_strategies_exceed_the_limit_by_one_instance(strategy: Strategy) -> None:
    h100 = pool("p5.48xlarge", strategy=strategy, max_vcpus=16)
    assert chosen(h100, ON_GPU) == {"p5.48xlarge"}
    assert chosen(h100, ON_GPU, used_vcpus=15) == {"p5.48xlarge"}
    assert chosen(h100, ON_GPU, used_vcpus=16) == set()


def test_spot_accepts_higher_prices_for_more_capacity() -> None:
    sizes = ("g4dn.xlarge", "g4dn.2xlarge", "g4dn.4xlarge")
    assert chosen(pool(*sizes), ON_GPU) == {"g4dn.4xlarge"}
    spot = pool(*sizes, strategy="SPOT_PRICE_CAPACITY_OPTIMIZED")
    assert chosen(spot, ON_GPU) == {"g4dn.2xlarge", "g4dn.4xlarge"}
    by_capacity = pool(*sizes, strategy="SPOT_CAPACITY_OPTIMIZED")
    assert chosen(by_capacity, ON_GPU) == set(sizes)


def test_a_type_of_unknown_price_is_started_only_if_no_other_fits() -> None:
    unknown = Offer("x1.large", Capacity(64, 65536, 1))
    assert chosen(Pool("BEST_FIT_PROGRESSIVE", 64, (unknown, offer("g4dn.xlarge"))), ON_GPU) == {
        "g4dn.xlarge"
    }
    assert chosen(Pool("BEST_FIT_PROGRESSIVE", 64, (unknown,)), ON_GPU) == {"x1.large"}


def test_no_type_is_chosen_if_none_is_large_enough() -> None:
    assert chosen(pool("g4dn.xlarge"), Capacity(vcpus=5, memory_mib=1)) == set()
