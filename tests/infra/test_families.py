"""The instance families of `infra/`, compared with the package's catalog."""

from __future__ import annotations

import pytest

from flowyml_aws.core.gpus import gpu_models
from flowyml_aws.planning.account_families import FAMILIES as FAMILIES_OF_PLANS
from flowyml_aws.planning.account_families import AccountFamily
from flowyml_aws.planning.catalog import InstanceType
from flowyml_aws.planning.catalog_files import load_catalog
from flowyml_aws.planning.disk import RESERVED_GIB
from tests.support.infra import families

FILE = families()
FAMILIES = FILE["families"]
UNSUPPORTED_BY_BATCH = {"arm64": "g5g", "not NVIDIA": "g4ad"}
"""GPU families without an ECS image, by the reason."""


def test_the_reserve_on_a_volume_is_the_planner_s() -> None:
    assert FILE["reserved_disk_gib"] == RESERVED_GIB


def types_of(family: str) -> list[InstanceType]:
    return [t for t in load_catalog().types if t.family == family]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_familys_instance_types_have_its_gpu_and_are_in_the_catalog(name: str) -> None:
    for family in FAMILIES[name]["instance_types"]:
        types = types_of(family)
        assert types, f"the catalog has no {family}"
        assert {t.gpu_model for t in types} == {FAMILIES[name]["gpu"]}
        assert {t.gpu_fraction for t in types} == {1}
        assert {t.arch for t in types} == {"x86_64"}
        assert not any(t.retired_after for t in types)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_familys_limit_allows_its_smallest_instance(name: str) -> None:
    types = [t for family in FAMILIES[name]["instance_types"] for t in types_of(family)]
    assert min(t.vcpus for t in types) <= FAMILIES[name]["max_vcpus"]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_familys_gpu_has_a_known_name(name: str) -> None:
    gpu = FAMILIES[name]["gpu"]
    assert gpu is None or gpu in gpu_models()


def test_every_gpu_family_of_the_catalog_is_offered_or_excluded_with_a_reason() -> None:
    offered = {family for entry in FAMILIES.values() for family in entry["instance_types"]}
    with_gpus = {t.family for t in load_catalog().types if t.gpu_model}
    assert with_gpus - offered - set(FILE["left_out"]) == set(UNSUPPORTED_BY_BATCH.values())
    assert not offered & set(FILE["left_out"])
    assert all(len(reason) > 15 for reason in FILE["left_out"].values())


def test_plans_name_the_same_families() -> None:
    # Families of EC2, also if an entry lists sizes of them.
    expected = [
        AccountFamily(
            name=name,
            instance_families=tuple(
                dict.fromkeys(each.partition(".")[0] for each in entry["instance_types"])
            ),
            max_vcpus=entry["max_vcpus"],
            needs_image=entry["image_type"] is None,
        )
        for name, entry in FAMILIES.items()
    ]
    assert list(FAMILIES_OF_PLANS) == expected
