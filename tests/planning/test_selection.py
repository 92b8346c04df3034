from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from flowyml_aws.core.errors import UnknownGpuError
from flowyml_aws.planning.catalog import Catalog, InstanceType
from flowyml_aws.planning.needs import Needs, Toleration
from flowyml_aws.planning.selection import select
from flowyml_aws.planning.targets import Taint, offline_targets
from tests.planning.questions import ARCH, BATCH, REAL, SAGEMAKER, TYPE, asked, queue, refused

# The product's table of examples, at the prices of the catalog that comes with it.
EXAMPLES = [
    (asked("2", "7Gi"), "m5a.large", "ml.m6i.large"),
    (asked("2", "8Gi"), "r5a.large", "ml.m6i.large"),
    (asked("2.5", "5Gi"), "c6a.xlarge", "ml.c6i.xlarge"),
    (asked("4", "12Gi", "nvidia-t4"), "g4dn.xlarge", "ml.g4dn.xlarge"),
    (asked("8", "32Gi", "T4", 2), "g4dn.12xlarge", "ml.g4dn.12xlarge"),
    (asked("48", "64Gi", "T4"), "g4dn.12xlarge", "ml.g4dn.12xlarge"),
    (asked("4", "12Gi", "T4", storage="500Gi"), "g4dn.xlarge", "ml.g4dn.8xlarge"),
    (asked("8", "32Gi", "nvidia-a100", 2, "40Gi"), "p4d.24xlarge", "ml.p4d.24xlarge"),
    (asked("8", "32Gi", "A100-80GB"), "p4de.24xlarge", "ml.p4de.24xlarge"),
    (asked("8", "60Gi", "nvidia-tesla-v100", 2), "p3.8xlarge", "ml.p3.8xlarge"),
    (asked("8", "64Gi", "h100", 1, "80Gi"), "p5.4xlarge", "ml.p5.4xlarge"),
]


@pytest.mark.parametrize(("needs", "batch", "sagemaker"), EXAMPLES, ids=lambda value: str(value))
def test_the_examples_of_the_product_hold(needs, batch, sagemaker):
    assert select(needs, BATCH, REAL).instance_type == batch
    assert select(needs, SAGEMAKER, REAL).instance_type == sagemaker


@pytest.mark.parametrize("targets", [BATCH, SAGEMAKER], ids=["batch", "sagemaker"])
@pytest.mark.parametrize("needs", [asked("4", "12Gi", "a100", 16), asked("4", "40Ti")], ids=str)
def test_what_no_type_offers_is_an_error(needs, targets):
    refused(needs, targets)


def test_an_unknown_gpu_is_an_error_before_selection():
    with pytest.raises(UnknownGpuError):
        asked("4", "12Gi", "nvidia-foo")


@pytest.mark.parametrize(
    ("gpu", "family"),
    [
        ("a100", "p4d"),
        ("v100", "p3"),
        ("t4", "g4dn"),
        ("v100-32gb", "p3dn"),
        ("a10g", "g5"),
        ("l4", "g6"),
        ("l40s", "g6e"),
        ("h100", "p5"),
        ("h200", "p5en"),
        ("b200", "p6-b200"),
        ("b300", "p6-b300"),
        ("rtx-pro-4500", "g7"),
        ("rtx-pro-6000", "g7e"),
    ],
)
def test_every_gpu_has_its_family(gpu, family):
    assert select(asked(gpu=gpu), BATCH, REAL).instance.family == family


@pytest.mark.parametrize(
    ("gpu", "memory", "family"),
    [("a100", "40Gi", "p4d"), ("a10g", "24Gi", "g5"), ("l4", "24Gi", "g6")],
)
def test_gpu_memory_is_compared_with_what_the_vendor_names_it(gpu, memory, family):
    assert select(asked(gpu=gpu, gpu_memory=memory), BATCH, REAL).instance.family == family


def test_where_the_retired_type_is_not_at_hand_the_next_one_is_taken():
    choice = select(asked("8", "60Gi", "v100", 2), [queue("q", "p3dn.24xlarge")], REAL)
    assert (choice.instance_type, choice.notes) == ("p3dn.24xlarge", ())


def test_fallbacks_are_the_next_best_of_the_same_target_in_order_of_price():
    choice = select(asked("4", "12Gi", "t4"), BATCH, REAL)
    assert [c.name for c in choice.fallbacks] == [
        "g4dn.2xlarge",
        "g4dn.4xlarge",
        "g4dn.8xlarge",
        "g4dn.12xlarge",
    ]


def test_fallbacks_never_lie_on_another_target():
    targets = [queue("small", "m5.large"), queue("large", "m5.xlarge")]
    assert select(asked("1", "1Gi"), targets, REAL).fallbacks == ()


def test_a_job_without_gpus_never_goes_to_a_machine_with_some():
    targets = [queue("gpu", "g4dn.xlarge"), queue("cpu", "m5.16xlarge")]
    assert select(asked("1", "1Gi"), targets, REAL).target.name == "cpu"


def test_a_job_too_large_for_the_cpu_types_is_refused_rather_than_put_on_gpus():
    error = refused(asked("8", "16Gi"), [queue("gpu", "g4dn.2xlarge"), queue("cpu", "m5.large")])
    assert "no type has more than 2 vCPUs (m5.large)" in error.why


def test_a_job_without_gpus_goes_to_a_gpu_type_where_there_is_nothing_else():
    choice = select(asked("1", "1Gi"), [queue("gpu", "g4dn.xlarge")], REAL)
    assert choice.instance_type == "g4dn.xlarge"
    assert choice.notes == (
        "g4dn.xlarge has GPUs, and the job uses none: no other type is open to it",
    )


@pytest.mark.parametrize("special", ["t3.2xlarge", "m7i-flex.2xlarge", "m5.metal", "inf2.8xlarge"])
def test_special_types_are_not_taken_where_another_one_fits_unless_by_name(special):
    targets = [queue("q", special, "m5.24xlarge")]
    assert select(asked("1", "1Gi"), targets, REAL).instance_type == "m5.24xlarge"
    named = replace(asked("1", "1Gi"), required=((TYPE, special),))
    choice = select(named, targets, REAL)
    assert choice.instance_type == special
    assert not any("nothing but" in note for note in choice.notes)


@pytest.mark.parametrize(
    ("special", "why"), [("t3.2xlarge", "it is burstable"), ("m5.metal", "it is bare metal")]
)
def test_burstable_and_bare_metal_are_the_last_resort_and_that_is_said(special, why):
    targets = [queue("q", special, "m5.large")]
    choice = select(asked("8", "16Gi"), targets, REAL)
    assert choice.instance_type == special
    assert choice.notes[0].startswith(f"nothing but {special} fits, and {why}")


def test_eight_t4s_are_had_on_bare_metal_only():
    choice = select(asked("8", "32Gi", "t4", 8), BATCH, REAL)
    assert choice.instance_type == "g4dn.metal"
    assert "it is bare metal" in choice.notes[0]


def test_a_last_resort_is_no_fallback_of_a_regular_type():
    choice = select(asked("2", "2Gi"), [queue("q", "m5.large", "t3.large", "m5.metal")], REAL)
    assert (choice.instance_type, choice.fallbacks) == ("m5.large", ())


@pytest.mark.parametrize(
    ("special", "why"),
    [
        ("inf2.8xlarge", "inf2.8xlarge: it has inferentia2"),
        ("m7g.large", "m7g.large: it is arm64, and the job needs x86_64"),
    ],
)
def test_a_target_of_special_types_only_is_refused_with_the_reason(special, why):
    assert why in refused(asked("1", "1Gi"), [queue("q", special)]).why


def test_a_fraction_never_serves_a_whole_gpu():
    error = refused(asked("2", "4Gi", "l4"), [replace(queue("q", "g6f.large"), placed_by="plan")])
    assert "g6f.large: it has a fraction of a GPU" in error.why


def test_arm64_is_taken_where_the_label_asks_for_it():
    needs = replace(asked("2", "4Gi"), required=((ARCH, "arm64"),))
    assert select(needs, BATCH, REAL).instance.arch == "arm64"


def test_preferred_arm64_comes_first_and_has_no_fallback_of_another_architecture():
    needs = replace(asked("2", "4Gi"), preferred=((ARCH, "arm64"),))
    choice = select(needs, [queue("q", "m5.large", "m7g.large")], REAL)
    assert (choice.instance_type, choice.fallbacks) == ("m7g.large", ())


@pytest.mark.parametrize("name", ["m5.large", "c6a.xlarge"])
def test_a_required_instance_type_narrows_the_types(name):
    needs = replace(asked("2", "2Gi"), required=((TYPE, name),))
    choice = select(needs, BATCH, REAL)
    assert (choice.instance_type, choice.fallbacks, choice.notes) == (name, (), ())


def test_a_required_instance_type_is_known_by_either_service_s_name():
    needs = replace(asked("2", "2Gi"), required=((TYPE, "ml.m5.large"),))
    assert select(needs, SAGEMAKER, REAL).instance_type == "ml.m5.large"


def test_a_required_label_chooses_the_target_whatever_it_costs():
    targets = [queue("a", "m5.large"), queue("b", "m5.xlarge", labels={"pool": "b"})]
    needs = replace(asked("1", "1Gi"), required=(("pool", "b"),))
    assert select(needs, targets, REAL).target.name == "b"


def test_a_preferred_label_orders_the_targets_and_excludes_none():
    targets = [queue("a", "m5.large"), queue("b", "m5.xlarge", labels={"pool": "b"})]
    needs = replace(asked("1", "1Gi"), preferred=(("pool", "b"),))
    assert select(needs, targets, REAL).target.name == "b"
    assert select(needs, targets[:1], REAL).target.name == "a"


def test_a_preferred_instance_type_comes_first_and_the_cheapest_after_it():
    needs = replace(asked("2", "2Gi"), preferred=((TYPE, "m5.2xlarge"),))
    choice = select(needs, [queue("q", "m5.large", "m5.xlarge", "m5.2xlarge")], REAL)
    assert choice.instance_type == "m5.2xlarge"
    assert [c.name for c in choice.fallbacks] == ["m5.large", "m5.xlarge"]


def test_a_tainted_target_is_only_for_jobs_that_tolerate_it():
    targets = [queue("t", "m5.large", taints=(Taint("night"),)), queue("open", "m5.xlarge")]
    needs = asked("1", "1Gi")
    assert select(needs, targets, REAL).target.name == "open"
    tolerant = replace(needs, tolerations=(Toleration("night", "Exists"),))
    assert select(tolerant, targets, REAL).target.name == "t"


def test_a_soft_taint_makes_another_target_come_first():
    soft = Taint("busy", effect="PreferNoSchedule")
    targets = [queue("busy", "m5.large", taints=(soft,)), queue("calm", "m5.xlarge")]
    assert select(asked("1", "1Gi"), targets, REAL).target.name == "calm"
    assert select(asked("1", "1Gi"), targets[:1], REAL).target.name == "busy"


def test_of_equal_offers_the_first_target_is_taken():
    targets = [queue("first", "m5.large"), queue("second", "m5.large")]
    assert select(asked("1", "1Gi"), targets, REAL).target.name == "first"


def test_an_unknown_price_on_spot_counts_as_the_one_on_demand_and_that_is_said():
    choice = select(asked("1", "1Gi"), [queue("q", "m5.large", capacity="spot")], REAL)
    assert (choice.price_usd_hour, choice.best.price_basis) == (0.096, "at most")
    assert choice.notes == (
        "the price of m5.large on spot is unknown: at most the one on demand, which is given",
    )


def test_a_spot_target_is_ranked_by_the_prices_on_spot():
    cheap_now = InstanceType("a1.large", 2, 99, 99, price_usd_hour=9.0, spot_usd_hour=1.0)
    usually = InstanceType("b2.large", 2, 99, 99, price_usd_hour=2.0, spot_usd_hour=1.5)
    catalog = Catalog("r", date(2026, 1, 1), date(2026, 1, 1), (cheap_now, usually))
    spot = queue("q", "a1.large", "b2.large", capacity="spot")
    choice = select(Needs(1, 1), [spot], catalog)
    assert (choice.instance_type, choice.price_usd_hour) == ("a1.large", 1.0)
    assert choice.best.price_basis == "spot"
    assert choice.notes == ()
    on_demand = select(Needs(1, 1), [replace(spot, capacity="on-demand")], catalog)
    assert on_demand.instance_type == "b2.large"


def test_a_cheaper_type_that_the_target_cannot_give_is_named_with_the_reason():
    target = replace(
        queue("q", "p3dn.24xlarge"), closed={"p3.8xlarge": "us-east-1 does not offer it"}
    )
    choice = select(asked("8", "60Gi", "v100", 2), [target], REAL)
    assert choice.instance_type == "p3dn.24xlarge"
    assert choice.notes == (
        "p3.8xlarge would fit for $12.24 an hour, but us-east-1 does not offer it",
    )
    (rejection,) = choice.rejections()
    assert (rejection.instance_type, rejection.reason) == (
        "p3.8xlarge",
        "us-east-1 does not offer it",
    )


def test_where_the_region_has_the_retired_type_no_more_the_next_one_is_taken_with_the_reason():
    types = tuple(replace(t, offered=t.offered and not t.retired_after) for t in REAL.types)
    catalog = replace(REAL, types=types)
    for targets, chosen in (
        (offline_targets(catalog), "p3dn.24xlarge"),
        (offline_targets(catalog, "sagemaker"), "ml.p3dn.24xlarge"),
    ):
        choice = select(asked("8", "60Gi", "v100", 2), targets, catalog)
        assert choice.instance_type == chosen
        assert "us-east-1 does not offer it, AWS has withdrawn it" in choice.notes[0]


def test_a_queue_that_could_pick_another_gpu_is_closed_to_gpu_jobs():
    targets = [queue("mixed", "g4dn.xlarge", "g5.xlarge"), queue("t4", "g4dn.2xlarge")]
    choice = select(asked("2", "4Gi", "t4"), targets, REAL)
    assert choice.target.name == "t4"
    (rejection,) = [r for r in choice.rejections() if r.target == "mixed"]
    assert rejection.instance_type is None
    assert "could put the job on g5.xlarge" in rejection.reason


def test_a_queue_whose_other_gpu_types_have_too_few_gpus_is_open():
    targets = [queue("mixed", "g4dn.12xlarge", "g5.xlarge")]
    assert select(asked("2", "4Gi", "t4", 4), targets, REAL).instance_type == "g4dn.12xlarge"


def test_a_queue_that_could_pick_the_gpu_with_less_memory_is_closed():
    targets = [queue("p4", "p4d.24xlarge", "p4de.24xlarge")]
    assert select(asked(gpu="a100"), targets, REAL).instance_type == "p4d.24xlarge"
    error = refused(asked(gpu="a100-80gb"), targets)
    assert "could put the job on p4d.24xlarge too, which has a100 of 40 GB" in error.why


def test_a_mixed_queue_is_open_to_jobs_without_gpus():
    choice = select(asked("1", "1Gi"), [queue("mixed", "g4dn.xlarge", "g5.xlarge")], REAL)
    assert choice.instance_type == "g4dn.xlarge"


def test_a_type_of_unknown_price_is_the_last_choice():
    priced, unknown = (
        InstanceType("a1.large", 2, 99, 99, price_usd_hour=9.0),
        InstanceType("b9.large", 2, 99, 99),
    )
    catalog = Catalog("r", date(2026, 1, 1), date(2026, 1, 1), (unknown, priced))
    choice = select(Needs(1, 1), offline_targets(catalog), catalog)
    assert [choice.instance_type, *(c.name for c in choice.fallbacks)] == ["a1.large", "b9.large"]
    alone = select(Needs(1, 1), [queue("q", "b9.large")], catalog)
    assert (alone.price_usd_hour, alone.notes) == (None, ("the price of b9.large is unknown",))
