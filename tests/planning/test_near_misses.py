from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from flowyml_aws.catalog.types import Catalog, InstanceType
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.selection import select
from flowyml_aws.planning.targets import offline_targets
from tests.planning.selection_inputs import BATCH, REAL, SAGEMAKER, TYPE, make_needs


def near_misses_of(needs: Needs, *types: InstanceType) -> list[str]:
    catalog = Catalog("r", date(2026, 1, 1), date(2026, 1, 1), types)
    return [str(miss) for miss in select(needs, offline_targets(catalog), catalog).near_misses()]


def a_type(name: str, vcpus: int, gib: int, price: float | None) -> InstanceType:
    return InstanceType(name, vcpus, gib * 1024, gib * 1024, price_usd_hour=price)


def test_a_cheaper_type_that_lacks_a_little_memory_is_reported_with_its_saving() -> None:
    small, large = a_type("m1.small", 8, 30, 0.75), a_type("m1.large", 8, 60, 1.0)
    assert near_misses_of(Needs(8, 32 * 1024), small, large) == [
        "30Gi memory instead of 32Gi memory would fit m1.small at $0.75 an hour: 25% less"
    ]


@pytest.mark.parametrize(
    ("vcpus", "gib", "price"),
    [(8, 23, 0.5), (5, 32, 0.5), (8, 30, 0.95), (7, 30, 0.5), (8, 30, None)],
    ids=[
        "too little memory",
        "too few vCPUs",
        "hardly cheaper",
        "lacks two amounts",
        "unknown price",
    ],
)
def test_other_types_are_not_reported(vcpus: int, gib: int, price: float | None) -> None:
    other, selected = a_type("m1.small", vcpus, gib, price), a_type("m1.large", 8, 60, 1.0)
    assert near_misses_of(Needs(8, 32 * 1024), other, selected) == []


def test_the_cheapest_type_for_each_amount_is_reported() -> None:
    types = [
        a_type("m1.fewer", 7, 64, 0.6),
        a_type("m1.less", 8, 30, 0.7),
        a_type("m2.less", 8, 31, 0.5),
        a_type("m1.large", 8, 60, 1.0),
    ]
    lines = near_misses_of(Needs(8, 32 * 1024), *types)
    assert [line.split(" would")[0] for line in lines] == [
        "7 vCPUs instead of 8 vCPUs",
        "31Gi memory instead of 32Gi memory",
    ]


def test_memory_is_reported_in_whole_gibibytes_that_fit() -> None:
    small = replace(a_type("m1.small", 8, 32, 0.5), usable_memory_mib=30 * 1024 + 900)
    (line,) = near_misses_of(Needs(8, 32 * 1024), small, a_type("m1.large", 8, 60, 1.0))
    assert line.startswith("30Gi memory instead of 32Gi")
    (miss,) = select(*arguments_of(Needs(8, 32 * 1024), small)).near_misses()
    reduced = replace(miss.needs, memory_mib=miss.gives)
    assert select(*arguments_of(reduced, small)).instance_type == "m1.small"


def test_a_last_resort_is_not_a_near_miss() -> None:
    burstable = replace(a_type("t1.small", 8, 30, 0.5), burstable=True)
    assert near_misses_of(Needs(8, 32 * 1024), burstable, a_type("m1.large", 8, 60, 1.0)) == []


def test_without_a_price_of_the_selected_type_there_are_no_near_misses() -> None:
    small, large = a_type("m1.small", 8, 30, 0.5), a_type("m1.large", 8, 60, None)
    assert near_misses_of(Needs(8, 32 * 1024), small, large) == []


def test_with_the_real_catalog_the_nominal_memory_of_a_type_is_a_near_miss() -> None:
    selection = select(make_needs("2", "8Gi"), BATCH, REAL)
    lines = [str(miss) for miss in selection.near_misses()]
    assert lines == [
        "7Gi memory instead of 8Gi memory would fit m5a.large at $0.086 an hour: 24% less"
    ]


def test_near_misses_on_local_disks_of_sagemaker_are_reported() -> None:
    selection = select(make_needs("4", "12Gi", "t4", storage="120Gi"), SAGEMAKER, REAL)
    (miss,) = [miss for miss in selection.near_misses() if miss.lacks == "storage_gib"]
    assert miss.candidate.name == "ml.g4dn.xlarge"
    assert miss.gives == 125 * 10**9 // 2**30


def test_a_required_type_has_no_near_misses() -> None:
    needs = replace(make_needs("2", "2Gi"), required=((TYPE, "m5.24xlarge"),))
    assert select(needs, BATCH, REAL).near_misses() == ()


def arguments_of(needs: Needs, small: InstanceType) -> tuple:
    types = (small, a_type("m1.large", 8, 60, 1.0))
    catalog = Catalog("r", date(2026, 1, 1), date(2026, 1, 1), types)
    return needs, offline_targets(catalog), catalog
