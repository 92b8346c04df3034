from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws.core.errors import InvalidQuantityError, InvalidResourcesError, UnknownGpuError
from flowyml_aws.core.resources import (
    GPUConfig,
    NodeAffinity,
    ResourceRequirements,
    merge_resources,
)
from flowyml_aws.planning.needs import Needs, Toleration, mib_text, needs_of, resources_of


def test_a_job_without_resources_gets_one_vcpu_and_two_gib():
    assert needs_of(None) == needs_of(ResourceRequirements()) == Needs(1, 2048)


@pytest.mark.parametrize(
    ("cpu", "vcpus"), [("500m", 1), ("2.5", 3), (8, 8), ("8", 8), (2.0001, 3), ("1000m", 1)]
)
def test_vcpus_are_whole_and_rounded_up(cpu, vcpus):
    assert needs_of(ResourceRequirements(cpu=cpu)).vcpus == vcpus


@pytest.mark.parametrize(
    ("memory", "mib"), [("16Gi", 16384), ("8192Mi", 8192), ("16G", 15259), (2**30 + 1, 1025)]
)
def test_memory_is_in_mib_and_rounded_up(memory, mib):
    assert needs_of(ResourceRequirements(memory=memory)).memory_mib == mib


@pytest.mark.parametrize(
    ("storage", "gib"), [("100Gi", 100), ("100G", 94), ("1Ti", 1024), (None, 0)]
)
def test_storage_is_in_gib_and_rounded_up(storage, gib):
    assert needs_of(ResourceRequirements(storage=storage)).storage_gib == gib


@pytest.mark.parametrize("spelling", ["a100", "nvidia-a100", "NVIDIA_A100", "A100"])
def test_a_gpu_has_its_canonical_name(spelling):
    needs = needs_of(ResourceRequirements(gpu=GPUConfig(spelling, count=2)))
    assert (needs.gpu_model, needs.gpu_count, needs.gpu_memory_gb) == ("a100", 2, 0)


@pytest.mark.parametrize(
    ("gpu", "gb"),
    [
        (GPUConfig("a100-80gb"), 80),
        (GPUConfig("nvidia-tesla-a100"), 40),
        (GPUConfig("a100", memory="40Gi"), 40),
        (GPUConfig("a100-40gb", memory="80Gi"), 80),
        (GPUConfig("a100-80gb", memory="40Gi"), 80),
        (GPUConfig("a10g", memory="24G"), 23),
        (GPUConfig("l4", memory="2.5Gi"), 3),
    ],
)
def test_gpu_memory_in_the_name_and_in_its_own_field_both_apply(gpu, gb):
    assert needs_of(ResourceRequirements(gpu=gpu)).gpu_memory_gb == gb


def test_affinity_becomes_labels_and_tolerations():
    affinity = NodeAffinity(
        required={"pool": "big", "kubernetes.io/arch": "amd64"},
        preferred={"zone": "a"},
        tolerations=[{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
    )
    needs = needs_of(ResourceRequirements(node_affinity=affinity))
    assert needs.required == (("kubernetes.io/arch", "amd64"), ("pool", "big"))
    assert needs.preferred == (("zone", "a"),)
    assert needs.tolerations == (Toleration("gpu", "Exists", effect="NoSchedule"),)


def test_equal_needs_are_the_same_key():
    first = needs_of(ResourceRequirements(cpu="1500m", gpu=GPUConfig("nvidia-t4")))
    second = needs_of(ResourceRequirements(cpu=2, gpu=GPUConfig("T4")))
    assert {first: 1}[second] == 1


@pytest.mark.parametrize(
    ("toleration", "why"),
    [
        ({"key": "gpu", "operator": "Like"}, "'Like' is neither Equal nor Exists"),
        ({"key": "gpu", "effect": "Never"}, "'Never' is not NoSchedule"),
        ({"key": "gpu", "operator": "Exists", "value": "yes"}, "accepts any value"),
        ({"operator": "Equal", "value": "yes"}, "without a key"),
        ({"key": "gpu", "seconds": "30"}, "the fields are key, operator, value, effect"),
    ],
)
def test_a_toleration_that_kubernetes_would_reject_is_an_error(toleration, why):
    resources = ResourceRequirements(node_affinity=NodeAffinity(tolerations=[toleration]))
    with pytest.raises(InvalidResourcesError) as caught:
        needs_of(resources)
    assert why in caught.value.why


def test_an_invalid_quantity_is_an_error():
    with pytest.raises(InvalidQuantityError):
        needs_of(ResourceRequirements(cpu="many"))


def test_an_unknown_gpu_is_an_error_with_the_nearest_names():
    with pytest.raises(UnknownGpuError, match="t4"):
        needs_of(ResourceRequirements(gpu=GPUConfig("nvidia-t44")))


@pytest.mark.parametrize("needs", [{"gpu_count": 1}, {"gpu_model": "t4"}, {"vcpus": -1}])
def test_contradictory_needs_are_an_error(needs):
    with pytest.raises(ValueError, match="contradict"):
        Needs(**needs)


def test_needs_are_formatted_for_people():
    needs = Needs(4, 12288, 100, "a100", 2, 80, required=(("pool", "big"),))
    assert str(needs) == "2 x a100 of 80 GB, 4 vCPUs, 12Gi memory, 100Gi storage, pool=big"


@pytest.mark.parametrize(("mib", "text"), [(1024, "1Gi"), (1536, "1536Mi"), (100, "100Mi")])
def test_memory_is_formatted_as_users_write_it(mib, text):
    assert mib_text(mib) == text


sizes = st.none() | st.integers(1, 64).map("{}Gi".format) | st.integers(5, 9000).map("{}M".format)
gpus = st.builds(
    GPUConfig,
    st.sampled_from(["a100", "nvidia-a100", "a100-40gb", "A100-80GB"]),
    st.integers(1, 8),
    st.none() | st.integers(1, 80).map("{}Gi".format),
)
resources = st.builds(
    ResourceRequirements,
    cpu=st.none() | st.integers(1, 64) | st.integers(1, 9999).map("{}m".format),
    memory=sizes,
    storage=sizes,
    gpu=st.none() | gpus,
)


@given(st.lists(resources, min_size=1, max_size=4))
def test_the_needs_of_a_group_cover_those_of_each_step(parts):
    merged = merge_resources(parts)
    together = needs_of(merged)
    for part in parts:
        alone = needs_of(part)
        pairs = [
            (alone.vcpus, together.vcpus) if part.cpu is not None else (0, 0),
            (alone.memory_mib, together.memory_mib) if part.memory is not None else (0, 0),
            (alone.storage_gib, together.storage_gib),
            (alone.gpu_count, together.gpu_count),
            (alone.gpu_memory_gb, together.gpu_memory_gb),
        ]
        assert all(less <= more for less, more in pairs)


@pytest.mark.parametrize(
    "needs",
    [
        Needs(),
        Needs(4, 12_288, 100, nodes=2),
        Needs(
            8,
            61_440,
            gpu_model="a100",
            gpu_count=2,
            gpu_memory_gb=40,
            required=(("karpenter.sh/capacity-type", "spot"),),
            preferred=(("zone", "a"),),
            tolerations=(Toleration("gpu", "Exists"), Toleration("team", value="ml")),
        ),
    ],
)
def test_the_resources_of_needs_have_these_needs(needs: Needs) -> None:
    assert needs_of(resources_of(needs)) == needs
