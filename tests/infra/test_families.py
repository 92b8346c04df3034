"""The instance families of `infra/`, compared with the package's catalog."""

from __future__ import annotations

from itertools import pairwise

import pytest

from flowyml_aws.catalog.account_families import FAMILIES as FAMILIES_OF_PLANS
from flowyml_aws.catalog.account_families import AccountFamily
from flowyml_aws.catalog.disk import RESERVED_GIB
from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.catalog.types import InstanceType
from flowyml_aws.core.gpus import gpu_models
from flowyml_aws.testing.account import QUEUES
from tests.support.infra import efa, families

FILE = families()
FAMILIES = FILE["families"]
UNSUPPORTED_BY_BATCH = {"arm64": "g5g", "not NVIDIA": "g4ad"}
"""GPU families without an ECS image, by the reason."""


def test_the_reserve_on_a_volume_is_the_planner_s() -> None:
    assert FILE["reserved_disk_gib"] == RESERVED_GIB


def types_of(family: str) -> list[InstanceType]:
    """Return the instance types that the file lists for a family."""
    names = [name for group in FAMILIES[family]["sizes"] for name in group]
    return [instance for name in names if (instance := load_catalog().get(name)) is not None]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_familys_instance_types_have_its_gpu_and_are_in_the_catalog(name: str) -> None:
    listed = {n: vcpus for group in FAMILIES[name]["sizes"] for n, vcpus in group.items()}
    types = types_of(name)
    assert {t.name: t.vcpus for t in types} == listed
    assert {t.gpu_model for t in types} == {FAMILIES[name]["gpu"]}
    assert {t.gpu_fraction for t in types} == {1}
    assert {t.arch for t in types} == {"x86_64"}
    assert not any(t.retired_after for t in types)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_familys_sizes_are_in_order_of_price_and_no_more_than_a_queue_has_environments(
    name: str,
) -> None:
    prices = {t.name: t.price_usd_hour or 0 for t in types_of(name)}
    groups = [[prices[n] for n in group] for group in FAMILIES[name]["sizes"]]
    assert 1 <= len(groups) <= 3
    for lower, higher in pairwise(groups):
        assert max(lower) <= max(higher)
        assert min(lower) < min(higher)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_familys_limit_allows_its_smallest_instance(name: str) -> None:
    assert min(t.vcpus for t in types_of(name)) <= FAMILIES[name]["max_vcpus"]


@pytest.mark.parametrize("name", FAMILIES)
def test_within_its_default_limit_batch_cannot_exceed_twice_the_price_of_a_group(name: str) -> None:
    allowed = [t for t in types_of(name) if t.vcpus <= FAMILIES[name]["max_vcpus"]]
    for group in FAMILIES[name]["sizes"]:
        per_family: dict[str, list[float]] = {}
        for t in allowed:
            if t.name in group:
                per_family.setdefault(t.family, []).append(t.price_usd_hour or 0)
        assert all(max(p) <= 2.01 * min(p) for p in per_family.values())


@pytest.mark.parametrize("name", FAMILIES)
def test_a_familys_gpu_has_a_known_name(name: str) -> None:
    gpu = FAMILIES[name]["gpu"]
    assert gpu is None or gpu in gpu_models()


def test_every_gpu_family_of_the_catalog_is_offered_or_excluded_with_a_reason() -> None:
    offered = {t.family for name in FAMILIES for t in types_of(name)}
    with_gpus = {t.family for t in load_catalog().types if t.gpu_model}
    assert with_gpus - offered - set(FILE["left_out"]) == set(UNSUPPORTED_BY_BATCH.values())
    assert not offered & set(FILE["left_out"])
    assert all(len(reason) > 15 for reason in FILE["left_out"].values())


def test_plans_and_the_emulators_account_have_the_same_families() -> None:
    expected = [
        AccountFamily(
            name=name,
            sizes=tuple(tuple(group) for group in entry["sizes"]),
            max_vcpus=entry["max_vcpus"],
            needs_image=entry["image_type"] is None,
        )
        for name, entry in FAMILIES.items()
    ]
    assert list(FAMILIES_OF_PLANS) == expected
    assert {f"flowyml-emulator-{each.name}": each.sizes for each in expected} == QUEUES


def test_the_types_with_efa_are_those_of_the_catalog() -> None:
    file = efa()
    in_catalog = {t.name for t in load_catalog().types if t.efa}
    assert {*file["interfaces"], *file["left_out"]} == in_catalog
    assert file["interfaces"].keys().isdisjoint(file["left_out"])
    assert min(file["interfaces"].values()) == 1
    # "EFA configuration" of P4d and P5 instances in the user guide of EC2.
    assert [file["interfaces"][t] for t in ("p4d.24xlarge", "p5.48xlarge")] == [4, 32]
