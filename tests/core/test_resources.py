from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import flowyml_aws
from flowyml_aws import GPUConfig, NodeAffinity, ResourceRequirements
from flowyml_aws.core.errors import (
    AffinityConflictError,
    InvalidQuantityError,
    InvalidResourcesError,
    UnknownGpuError,
)
from flowyml_aws.core.gpus import parse_gpu_name
from flowyml_aws.core.quantities import exact_cpu, exact_memory
from flowyml_aws.core.resources import merge_resources, read_resources

CPU = st.sampled_from(["500m", "0.5", "1", 1, 1.0, "1000m", "2.5", 4, "4", "8"])
SIZE = st.sampled_from(["8Gi", "8192Mi", "8.0Gi", "8G", "8GB", 2**33, "16Gi", "1Ti"])
GPU = st.builds(
    GPUConfig,
    st.sampled_from(
        ["a100", "A100", "nvidia-tesla-a100", "a100-80gb", "A100_80GB", "v100", "h100", "l40s-48gb"]
    ),
    st.integers(1, 8),
    st.none() | SIZE,
)
# One value per label; conflicts are tested separately.
LABELS = st.sets(st.sampled_from("abc")).map(lambda names: {name: f"{name}!" for name in names})
TAINTS = st.fixed_dictionaries({"key": st.sampled_from("xyz")}, optional={"value": st.just("v")})
AFFINITY = st.builds(
    NodeAffinity,
    LABELS,
    st.dictionaries(st.sampled_from("pq"), st.sampled_from("12")),
    st.lists(TAINTS, max_size=3),
)
NEEDS = st.builds(
    ResourceRequirements,
    st.none() | CPU,
    st.none() | SIZE,
    st.none() | SIZE,
    st.none() | GPU,
    st.none() | AFFINITY,
)


def as_written(needs: ResourceRequirements) -> str:
    """Return the exact spelling of the quantities, for comparison."""
    return repr((needs.cpu, needs.memory, needs.storage, needs.gpu))


@given(NEEDS, NEEDS)
def test_merging_is_commutative(a: ResourceRequirements, b: ResourceRequirements) -> None:
    assert a.merge_with(b) == b.merge_with(a)
    assert as_written(a.merge_with(b)) == as_written(b.merge_with(a))


@given(NEEDS, NEEDS, NEEDS)
def test_merging_is_associative(
    a: ResourceRequirements, b: ResourceRequirements, c: ResourceRequirements
) -> None:
    left, right = a.merge_with(b).merge_with(c), a.merge_with(b.merge_with(c))
    assert left == right
    assert as_written(left) == as_written(right)


@given(NEEDS)
def test_merging_is_idempotent(needs: ResourceRequirements) -> None:
    assert needs.merge_with(needs) == needs


@given(st.lists(NEEDS, min_size=1, max_size=5))
def test_a_merge_satisfies_each_of_its_parts(parts: list[ResourceRequirements]) -> None:
    whole = merge_resources(parts)
    assert whole is not None
    for part in parts:
        if part.cpu is not None:
            assert whole.cpu is not None
            assert exact_cpu(whole.cpu) >= exact_cpu(part.cpu)
        for name in ("memory", "storage"):
            if getattr(part, name) is not None:
                assert exact_memory(getattr(whole, name)) >= exact_memory(getattr(part, name))
        if part.gpu is not None:
            assert whole.gpu is not None
            best, required = parse_gpu_name(whole.gpu.gpu_type), parse_gpu_name(part.gpu.gpu_type)
            assert best.strength >= required.strength
            assert whole.gpu.count >= part.gpu.count
            if part.gpu.memory is not None:
                assert whole.gpu.memory is not None
                assert exact_memory(whole.gpu.memory) >= exact_memory(part.gpu.memory)
        if part.node_affinity is not None:
            assert whole.node_affinity is not None
            assert part.node_affinity.required.items() <= whole.node_affinity.required.items()
            tolerated = whole.node_affinity.tolerations
            assert all(taint in tolerated for taint in part.node_affinity.tolerations)


@given(st.lists(NEEDS, min_size=1, max_size=5))
def test_a_merge_requests_nothing_that_no_part_requests(parts: list[ResourceRequirements]) -> None:
    whole = merge_resources(parts)
    assert whole is not None
    for name in ("cpu", "memory", "storage"):
        assert getattr(whole, name) in [getattr(part, name) for part in parts]
    assert (whole.gpu is None) == all(part.gpu is None for part in parts)


def test_the_larger_quantity_keeps_its_spelling() -> None:
    small, large = ResourceRequirements(memory="8G"), ResourceRequirements(memory="8Gi")
    assert small.merge_with(large).memory == "8Gi"


def test_gpus_merge_to_the_best_type_and_the_largest_count_and_memory() -> None:
    merged = GPUConfig("nvidia-v100", 4, "16Gi").merge_with(GPUConfig("A100", 2, "40Gi"))
    assert merged == GPUConfig("A100", 4, "40Gi")


def test_h100_with_t4_is_h100() -> None:
    assert GPUConfig("t4").merge_with(GPUConfig("h100")).gpu_type == "h100"


def test_nothing_merges_to_nothing() -> None:
    assert merge_resources([]) is None


def test_required_labels_and_tolerations_are_combined() -> None:
    taint = {"key": "gpu", "operator": "Exists"}
    merged = NodeAffinity({"zone": "a"}, tolerations=[taint]).merge_with(
        NodeAffinity({"arch": "x"}, tolerations=[taint, {"key": "spot"}])
    )
    assert merged.required == {"zone": "a", "arch": "x"}
    assert len(merged.tolerations) == 2


def test_conflicting_labels_are_an_error_that_names_label_and_values() -> None:
    with pytest.raises(AffinityConflictError, match=r"'zone'.*'a' and 'b'"):
        NodeAffinity({"zone": "b"}).merge_with(NodeAffinity({"zone": "a"}))


def test_a_dict_is_equivalent_to_the_classes() -> None:
    assert read_resources(
        {
            "cpu": "2",
            "memory": "4Gi",
            "gpu": {"gpu_type": "t4", "count": 2},
            "node_affinity": {"required": {"zone": "a"}},
        }
    ) == ResourceRequirements(
        "2", "4Gi", gpu=GPUConfig("t4", 2), node_affinity=NodeAffinity({"zone": "a"})
    )


@given(NEEDS)
def test_resources_round_trip_through_a_dict(needs: ResourceRequirements) -> None:
    assert read_resources(needs.to_dict()) == needs


@pytest.mark.parametrize(
    ("resources", "named"),
    [
        ({"cpus": 4}, "cpus"),
        ({"gpu": {"gpu_type": "t4", "number": 2}}, "number"),
        ({"gpu": {"gpu_type": "t4", "type": "a100"}}, "type"),
        ({"gpu": {"count": 2}}, "gpu_type"),
        ({"node_affinity": {"requires": {}}}, "requires"),
        ({"node_affinity": {"required": {"zone": 1}}}, "required"),
        ({"node_affinity": {"tolerations": {"key": "gpu"}}}, "tolerations"),
        ({"node_affinity": {"tolerations": 1}}, "tolerations"),
        ("4 cores", "4 cores"),
    ],
)
def test_a_wrong_key_is_an_error_that_names_it(resources: Any, named: str) -> None:
    with pytest.raises(InvalidResourcesError, match=named):
        read_resources(resources)


def test_the_error_for_a_misspelled_key_suggests_the_right_one() -> None:
    with pytest.raises(InvalidResourcesError) as caught:
        read_resources({"memroy": "4Gi"})
    assert "memory" in caught.value.fix


def test_every_mistake_in_resources_is_reported() -> None:
    needs = ResourceRequirements("many", "16", "?", GPUConfig("a1000", 0, "x"))
    kinds = [type(problem) for problem in needs.problems()]
    assert sorted(kinds, key=str) == sorted(
        [InvalidQuantityError] * 4 + [UnknownGpuError, InvalidResourcesError], key=str
    )


@pytest.mark.parametrize(
    "needs",
    [
        ResourceRequirements(gpu="nvidia-a100"),  # type: ignore[arg-type]
        ResourceRequirements(node_affinity={"zone": "a"}),  # type: ignore[arg-type]
        ResourceRequirements(gpu=GPUConfig(None)),  # type: ignore[arg-type]
        ResourceRequirements(gpu=GPUConfig("t4", 1.5)),  # type: ignore[arg-type]
        ResourceRequirements(gpu=GPUConfig("t4", True)),
    ],
)
def test_a_value_of_the_wrong_type_is_one_problem(needs: ResourceRequirements) -> None:
    assert len(needs.problems()) == 1


@given(NEEDS)
def test_good_resources_have_no_problems(needs: ResourceRequirements) -> None:
    assert needs.problems() == []


def test_memory_in_the_name_of_the_weaker_gpu_is_required_of_the_better_one() -> None:
    merged = GPUConfig("a100").merge_with(GPUConfig("l40s-48gb"))
    assert (merged.gpu_type, merged.memory) == ("a100", "48Gi")


def test_resources_returns_requirements_as_in_flowyml() -> None:
    declared = flowyml_aws.resources(cpu="2", memory="4Gi", gpu=GPUConfig("t4"))
    assert declared == ResourceRequirements(cpu="2", memory="4Gi", gpu=GPUConfig("t4"))
