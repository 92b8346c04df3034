from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.catalog.types import Catalog, InstanceType
from flowyml_aws.planning.needs import Amounts, Needs, Toleration
from flowyml_aws.planning.targets import (
    Taint,
    Target,
    candidates_on,
    has_label,
    obstacle,
    offline_targets,
    soft_taints,
)

M5 = InstanceType("m5.large", 2, 8192, 7700, price_usd_hour=0.096)
M6I = InstanceType("m6i.large", 2, 8192, 7661, price_usd_hour=0.096)
M9 = InstanceType("m9.large", 2, 8192, 7661)
G4DN = InstanceType(
    "g4dn.xlarge",
    4,
    16384,
    15589,
    gpu_model="t4",
    gpu_count=1,
    gpu_memory_gb=16,
    nvme_gb=125,
    price_usd_hour=0.526,
    sagemaker_name="ml.g4dn.xlarge",
    sagemaker_price_usd_hour=0.7364,
    sagemaker_price_source="list",
)
CATALOG = Catalog("us-east-1", date(2026, 10, 27), date(2026, 7, 20), (M5, M6I, M9, G4DN))
QUEUE = Target(
    "queue",
    "batch",
    ("m5.large", "m6i.large", "g4dn.xlarge"),
    labels={"pool": "a", "topology.kubernetes.io/zone": "us-east-1b"},
)
TAINT = Taint("dedicated", "gpu")


def reason(target: Target, needs: Needs) -> str | None:
    problem = obstacle(target, needs, CATALOG)
    return problem.reason if problem else None


def test_a_required_label_with_the_right_value_is_accepted():
    assert reason(QUEUE, Needs(required=(("pool", "a"),))) is None


@pytest.mark.parametrize(
    ("label", "why"),
    [
        (("pool", "b"), "it has the label pool=a, but the job requires pool=b"),
        (("disk", "fast"), "it has no label 'disk', but the job requires disk=fast"),
    ],
)
def test_a_required_label_that_does_not_match_is_named(label, why):
    assert reason(QUEUE, Needs(required=(label,))) == why


def test_a_label_obstacle_has_a_fix():
    problem = obstacle(QUEUE, Needs(required=(("pool", "b"),)), CATALOG)
    assert problem is not None
    assert "pool=b" in problem.fix


@pytest.mark.parametrize(
    ("label", "value", "met"),
    [
        ("kubernetes.io/os", "linux", True),
        ("kubernetes.io/os", "windows", False),
        ("topology.kubernetes.io/region", "us-east-1", True),
        ("topology.kubernetes.io/region", "eu-west-1", False),
        ("topology.kubernetes.io/zone", "us-east-1b", True),
        ("topology.kubernetes.io/zone", "us-east-1a", False),
        ("karpenter.sh/capacity-type", "on-demand", True),
        ("karpenter.sh/capacity-type", "spot", False),
    ],
)
def test_well_known_labels_need_no_configuration(label, value, met):
    assert has_label(QUEUE, label, value, CATALOG) is met
    assert (reason(QUEUE, Needs(required=((label, value),))) is None) is met


def test_a_spot_target_has_the_capacity_type_spot():
    spot = replace(QUEUE, capacity="spot")
    assert has_label(spot, "karpenter.sh/capacity-type", "spot", CATALOG)


def test_a_queue_of_unknown_zone_does_not_match_a_zone():
    assert not has_label(Target("q", "batch"), "topology.kubernetes.io/zone", "us-east-1a", CATALOG)


@pytest.mark.parametrize(("zone", "met"), [("us-east-1a", True), ("eu-west-1a", False)])
def test_a_target_that_is_placed_by_the_plan_has_every_zone_of_the_region(zone, met):
    (target,) = offline_targets(CATALOG)
    assert has_label(target, "topology.kubernetes.io/zone", zone, CATALOG) is met


def test_labels_of_instance_types_are_not_checked_for_the_target():
    labels = (("kubernetes.io/arch", "arm64"), ("node.kubernetes.io/instance-type", "x"))
    assert reason(QUEUE, Needs(required=labels)) is None


@pytest.mark.parametrize("effect", ["NoSchedule", "NoExecute"])
def test_a_taint_that_is_not_tolerated_rejects_the_job(effect):
    tainted = replace(QUEUE, taints=(Taint("dedicated", "gpu", effect),))
    assert reason(tainted, Needs()) == f"its taint dedicated=gpu:{effect} is not tolerated"


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        (Toleration("dedicated", "Equal", "gpu", "NoSchedule"), True),
        (Toleration("dedicated", "Equal", "gpu"), True),
        (Toleration("dedicated", "Equal", "cpu"), False),
        (Toleration("dedicated"), False),
        (Toleration("dedicated", "Equal", "gpu", "NoExecute"), False),
        (Toleration("dedicated", "Exists"), True),
        (Toleration("dedicated", "Exists", effect="NoSchedule"), True),
        (Toleration("dedicated", "Exists", effect="PreferNoSchedule"), False),
        (Toleration("other", "Exists"), False),
        (Toleration(operator="Exists"), True),
        (Toleration(operator="Exists", effect="NoExecute"), False),
    ],
)
def test_tolerations_follow_kubernetes(toleration, tolerated):
    assert TAINT.tolerated_by(toleration) is tolerated
    needs = Needs(tolerations=(toleration,))
    assert (reason(replace(QUEUE, taints=(TAINT,)), needs) is None) is tolerated


def test_every_taint_of_a_target_must_be_tolerated():
    target = replace(QUEUE, taints=(TAINT, Taint("night")))
    needs = Needs(tolerations=(Toleration("dedicated", "Exists"),))
    assert reason(target, needs) == "its taint night:NoSchedule is not tolerated"


def test_a_soft_taint_accepts_the_job_and_is_counted():
    target = replace(QUEUE, taints=(Taint("busy", effect="PreferNoSchedule"),))
    assert reason(target, Needs()) is None
    assert soft_taints(target, Needs()) == 1
    assert soft_taints(target, Needs(tolerations=(Toleration("busy", "Exists"),))) == 0


def test_this_machine_has_no_instance_types():
    assert reason(Target("here", "local"), Needs()) == "this machine has no instance types"


def test_candidates_are_sorted_by_price_then_generation_with_unknown_prices_last():
    target = Target("q", "batch", ("g4dn.xlarge", "m9.large", "m5.large", "m6i.large", "x.huge"))
    names = [c.name for c in candidates_on(target, CATALOG)]
    assert names == ["m6i.large", "m5.large", "g4dn.xlarge", "m9.large"]


def test_batch_provides_usable_memory_and_ebs_storage():
    (candidate,) = candidates_on(Target("q", "batch", ("g4dn.xlarge",)), CATALOG)
    assert candidate.gives == Amounts(4, 15589, 65536, 1, 16)
    assert (candidate.name, candidate.price_usd_hour) == ("g4dn.xlarge", 0.526)


@pytest.mark.parametrize("name", ["g4dn.xlarge", "ml.g4dn.xlarge"])
def test_sagemaker_provides_nominal_memory_and_only_the_local_disk(name):
    (candidate,) = candidates_on(Target("s", "sagemaker", (name,)), CATALOG)
    assert candidate.gives == Amounts(4, 16384, 116, 1, 16)
    assert (candidate.name, candidate.price_usd_hour) == ("ml.g4dn.xlarge", 0.7364)


def test_a_type_is_a_candidate_once():
    both = Target("s", "sagemaker", ("g4dn.xlarge", "ml.g4dn.xlarge"))
    assert len(candidates_on(both, CATALOG)) == 1


def test_sagemaker_has_only_its_own_types():
    assert candidates_on(Target("s", "sagemaker", ("m5.large",)), CATALOG) == ()


def test_offline_every_type_is_available_that_the_region_offers_or_offered():
    (target,) = offline_targets(load_catalog())
    assert (target.name, target.kind, target.placed_by) == ("catalog", "batch", "plan")
    assert {"p3.2xlarge", "p4d.24xlarge", "m6i.large"} <= set(target.instance_types)
    assert "p5e.48xlarge" not in target.instance_types


def test_offline_sagemaker_has_its_own_type_names():
    (target,) = offline_targets(load_catalog(), "sagemaker")
    assert "ml.g4dn.xlarge" in target.instance_types
    assert all(name.startswith("ml.") for name in target.instance_types)


def test_equal_targets_are_the_same_key():
    assert {QUEUE: 1}[replace(QUEUE)] == 1
    assert replace(QUEUE, labels={"pool": "b"}) != QUEUE
