from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from flowyml_aws.catalog.types import Catalog, InstanceType
from flowyml_aws.core.errors import UnknownGpuError
from flowyml_aws.planning.needs import Needs, Toleration
from flowyml_aws.planning.selection import select
from flowyml_aws.planning.targets import Taint, offline_targets
from tests.planning.selection_inputs import (
    ARCH,
    BATCH,
    REAL,
    SAGEMAKER,
    TYPE,
    make_needs,
    no_fit_error,
    queue,
)

# The specification's table of examples, with the prices of the packaged catalog.
EXAMPLES = [
    (make_needs("2", "7Gi"), "m5a.large", "ml.m6i.large"),
    (make_needs("2", "8Gi"), "r5a.large", "ml.m6i.large"),
    (make_needs("2.5", "5Gi"), "c6a.xlarge", "ml.c6i.xlarge"),
    (make_needs("4", "12Gi", "nvidia-t4"), "g4dn.xlarge", "ml.g4dn.xlarge"),
    (make_needs("8", "32Gi", "T4", 2), "g4dn.12xlarge", "ml.g4dn.12xlarge"),
    (make_needs("48", "64Gi", "T4"), "g4dn.12xlarge", "ml.g4dn.12xlarge"),
    (make_needs("4", "12Gi", "T4", storage="500Gi"), "g4dn.xlarge", "ml.g4dn.8xlarge"),
    (make_needs("8", "32Gi", "nvidia-a100", 2, "40Gi"), "p4d.24xlarge", "ml.p4d.24xlarge"),
    (make_needs("8", "32Gi", "A100-80GB"), "p4de.24xlarge", "ml.p4de.24xlarge"),
    (make_needs("8", "60Gi", "nvidia-tesla-v100", 2), "p3.8xlarge", "ml.p3.8xlarge"),
    (make_needs("8", "64Gi", "h100", 1, "80Gi"), "p5.4xlarge", "ml.p5.4xlarge"),
]


@pytest.mark.parametrize(("needs", "batch", "sagemaker"), EXAMPLES, ids=lambda value: str(value))
def test_the_documented_examples_get_their_types(needs, batch, sagemaker):
    assert select(needs, BATCH, REAL).instance_type == batch
    assert select(needs, SAGEMAKER, REAL).instance_type == sagemaker


@pytest.mark.parametrize("targets", [BATCH, SAGEMAKER], ids=["batch", "sagemaker"])
@pytest.mark.parametrize(
    "needs", [make_needs("4", "12Gi", "a100", 16), make_needs("4", "40Ti")], ids=str
)
def test_needs_that_no_type_fits_are_an_error(needs, targets):
    no_fit_error(needs, targets)


def test_an_unknown_gpu_is_an_error_before_selection():
    with pytest.raises(UnknownGpuError):
        make_needs("4", "12Gi", "nvidia-foo")


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
    assert select(make_needs(gpu=gpu), BATCH, REAL).instance.family == family


@pytest.mark.parametrize(
    ("gpu", "memory", "family"),
    [("a100", "40Gi", "p4d"), ("a10g", "24Gi", "g5"), ("l4", "24Gi", "g6")],
)
def test_gpu_memory_is_compared_with_the_nominal_memory(gpu, memory, family):
    assert select(make_needs(gpu=gpu, gpu_memory=memory), BATCH, REAL).instance.family == family


def test_without_the_retired_type_the_next_one_is_selected():
    selection = select(make_needs("8", "60Gi", "v100", 2), [queue("q", "p3dn.24xlarge")], REAL)
    assert (selection.instance_type, selection.notes) == ("p3dn.24xlarge", ())


def test_fallbacks_are_the_next_best_of_the_same_target_in_order_of_price():
    selection = select(make_needs("4", "12Gi", "t4"), BATCH, REAL)
    assert [c.name for c in selection.fallbacks] == [
        "g4dn.2xlarge",
        "g4dn.4xlarge",
        "g4dn.8xlarge",
        "g4dn.12xlarge",
    ]


@pytest.mark.parametrize(
    "needs",
    [make_needs("8", "60Gi"), make_needs("8", "60Gi", "v100", 8), make_needs("4", gpu="t4")],
)
@pytest.mark.parametrize("capacity", ["on-demand", "spot"])
def test_the_types_of_a_training_job_have_local_disks_or_volumes_but_not_both(needs, capacity):
    (everything,) = SAGEMAKER
    selection = select(needs, [replace(everything, capacity=capacity)], REAL)
    has_disks = {bool(c.instance.nvme_gb) for c in (selection.best, *selection.fallbacks)}
    assert len(has_disks) == 1


def test_fallbacks_are_never_on_another_target():
    targets = [queue("small", "m5.large"), queue("large", "m5.xlarge")]
    assert select(make_needs("1", "1Gi"), targets, REAL).fallbacks == ()


def test_a_job_without_gpus_gets_a_machine_without_gpus():
    targets = [queue("gpu", "g4dn.xlarge"), queue("cpu", "m5.16xlarge")]
    assert select(make_needs("1", "1Gi"), targets, REAL).target.name == "cpu"


def test_a_job_too_large_for_the_cpu_types_is_rejected_instead_of_placed_on_gpus():
    error = no_fit_error(
        make_needs("8", "16Gi"), [queue("gpu", "g4dn.2xlarge"), queue("cpu", "m5.large")]
    )
    assert "no type has more than 2 vCPUs (m5.large)" in error.why


def test_a_job_without_gpus_gets_a_gpu_type_if_there_is_nothing_else():
    selection = select(make_needs("1", "1Gi"), [queue("gpu", "g4dn.xlarge")], REAL)
    assert selection.instance_type == "g4dn.xlarge"
    assert selection.notes == (
        "g4dn.xlarge has GPUs, and the job uses none: no type without GPUs is eligible",
    )


@pytest.mark.parametrize("special", ["t3.2xlarge", "m7i-flex.2xlarge", "m5.metal", "inf2.8xlarge"])
def test_special_types_are_selected_by_name_or_if_nothing_else_fits(special):
    targets = [queue("q", special, "m5.24xlarge")]
    assert select(make_needs("1", "1Gi"), targets, REAL).instance_type == "m5.24xlarge"
    required = replace(make_needs("1", "1Gi"), required=((TYPE, special),))
    selection = select(required, targets, REAL)
    assert selection.instance_type == special
    assert not any(note.startswith("only ") for note in selection.notes)


@pytest.mark.parametrize(
    ("special", "why"), [("t3.2xlarge", "it is burstable"), ("m5.metal", "it is bare metal")]
)
def test_burstable_and_bare_metal_types_are_a_last_resort_with_a_note(special, why):
    targets = [queue("q", special, "m5.large")]
    selection = select(make_needs("8", "16Gi"), targets, REAL)
    assert selection.instance_type == special
    assert selection.notes[0].startswith(f"only {special} fits, and {why}")


def test_eight_t4s_are_available_only_on_bare_metal():
    selection = select(make_needs("8", "32Gi", "t4", 8), BATCH, REAL)
    assert selection.instance_type == "g4dn.metal"
    assert "it is bare metal" in selection.notes[0]


def test_a_last_resort_is_not_a_fallback_of_a_regular_type():
    selection = select(
        make_needs("2", "2Gi"), [queue("q", "m5.large", "t3.large", "m5.metal")], REAL
    )
    assert (selection.instance_type, selection.fallbacks) == ("m5.large", ())


@pytest.mark.parametrize(
    ("special", "why"),
    [
        ("inf2.8xlarge", "inf2.8xlarge: it has inferentia2"),
        ("m7g.large", "m7g.large: it is arm64, and the job needs x86_64"),
    ],
)
def test_a_target_with_only_special_types_is_rejected_with_the_reason(special, why):
    assert why in no_fit_error(make_needs("1", "1Gi"), [queue("q", special)]).why


def test_a_fraction_of_a_gpu_is_never_used_for_a_whole_gpu():
    error = no_fit_error(
        make_needs("2", "4Gi", "l4"), [replace(queue("q", "g6f.large"), placed_by="plan")]
    )
    assert "g6f.large: it has a fraction of a GPU" in error.why


def test_arm64_is_selected_if_the_label_requires_it():
    needs = replace(make_needs("2", "4Gi"), required=((ARCH, "arm64"),))
    assert select(needs, BATCH, REAL).instance.arch == "arm64"


def test_preferred_arm64_comes_first_and_has_no_fallback_of_another_architecture():
    needs = replace(make_needs("2", "4Gi"), preferred=((ARCH, "arm64"),))
    selection = select(needs, [queue("q", "m5.large", "m7g.large")], REAL)
    assert (selection.instance_type, selection.fallbacks) == ("m7g.large", ())


@pytest.mark.parametrize("name", ["m5.large", "c6a.xlarge"])
def test_a_required_instance_type_narrows_the_types(name):
    needs = replace(make_needs("2", "2Gi"), required=((TYPE, name),))
    selection = select(needs, BATCH, REAL)
    assert (selection.instance_type, selection.fallbacks, selection.notes) == (name, (), ())


def test_a_required_instance_type_may_have_the_name_of_either_service():
    needs = replace(make_needs("2", "2Gi"), required=((TYPE, "ml.m5.large"),))
    assert select(needs, SAGEMAKER, REAL).instance_type == "ml.m5.large"


def test_a_required_label_selects_the_target_regardless_of_cost():
    targets = [queue("a", "m5.large"), queue("b", "m5.xlarge", labels={"pool": "b"})]
    needs = replace(make_needs("1", "1Gi"), required=(("pool", "b"),))
    assert select(needs, targets, REAL).target.name == "b"


def test_a_preferred_label_ranks_the_targets_but_excludes_none():
    targets = [queue("a", "m5.large"), queue("b", "m5.xlarge", labels={"pool": "b"})]
    needs = replace(make_needs("1", "1Gi"), preferred=(("pool", "b"),))
    assert select(needs, targets, REAL).target.name == "b"
    assert select(needs, targets[:1], REAL).target.name == "a"


def test_a_preferred_instance_type_comes_first_and_the_cheapest_after_it():
    needs = replace(make_needs("2", "2Gi"), preferred=((TYPE, "m5.2xlarge"),))
    selection = select(needs, [queue("q", "m5.large", "m5.xlarge", "m5.2xlarge")], REAL)
    assert selection.instance_type == "m5.2xlarge"
    assert [c.name for c in selection.fallbacks] == ["m5.large", "m5.xlarge"]


def test_a_tainted_target_is_only_for_jobs_that_tolerate_it():
    targets = [queue("t", "m5.large", taints=(Taint("night"),)), queue("open", "m5.xlarge")]
    needs = make_needs("1", "1Gi")
    assert select(needs, targets, REAL).target.name == "open"
    tolerant = replace(needs, tolerations=(Toleration("night", "Exists"),))
    assert select(tolerant, targets, REAL).target.name == "t"


def test_a_target_with_a_soft_taint_comes_last():
    soft = Taint("busy", effect="PreferNoSchedule")
    targets = [queue("busy", "m5.large", taints=(soft,)), queue("calm", "m5.xlarge")]
    assert select(make_needs("1", "1Gi"), targets, REAL).target.name == "calm"
    assert select(make_needs("1", "1Gi"), targets[:1], REAL).target.name == "busy"


def test_the_first_target_of_equal_offers_is_selected():
    targets = [queue("first", "m5.large"), queue("second", "m5.large")]
    assert select(make_needs("1", "1Gi"), targets, REAL).target.name == "first"


def test_an_unknown_spot_price_counts_as_the_on_demand_price_with_a_note():
    selection = select(make_needs("1", "1Gi"), [queue("q", "m5.large", capacity="spot")], REAL)
    assert (selection.price_usd_hour, selection.best.price_basis) == (0.096, "at most")
    assert selection.notes == (
        "the spot price of m5.large is unknown; at most the on-demand price, which is shown",
    )


def test_a_spot_target_is_ranked_by_spot_prices():
    cheap_now = InstanceType("a1.large", 2, 99, 99, price_usd_hour=9.0, spot_usd_hour=1.0)
    usually = InstanceType("b2.large", 2, 99, 99, price_usd_hour=2.0, spot_usd_hour=1.5)
    catalog = Catalog("r", date(2026, 1, 1), date(2026, 1, 1), (cheap_now, usually))
    spot = queue("q", "a1.large", "b2.large", capacity="spot")
    selection = select(Needs(1, 1), [spot], catalog)
    assert (selection.instance_type, selection.price_usd_hour) == ("a1.large", 1.0)
    assert selection.best.price_basis == "spot"
    assert selection.notes == ()
    on_demand = select(Needs(1, 1), [replace(spot, capacity="on-demand")], catalog)
    assert on_demand.instance_type == "b2.large"


def test_a_cheaper_unavailable_type_is_named_with_the_reason():
    target = replace(
        queue("q", "p3dn.24xlarge"), closed={"p3.8xlarge": "us-east-1 does not offer it"}
    )
    selection = select(make_needs("8", "60Gi", "v100", 2), [target], REAL)
    assert selection.instance_type == "p3dn.24xlarge"
    assert selection.notes == (
        "p3.8xlarge would fit for $12.24 an hour, but us-east-1 does not offer it",
    )
    (rejection,) = selection.rejections()
    assert (rejection.instance_type, rejection.reason) == (
        "p3.8xlarge",
        "us-east-1 does not offer it",
    )


def test_a_retired_type_that_the_region_no_longer_offers_is_replaced_with_a_note():
    types = tuple(replace(t, offered=t.offered and not t.retired_after) for t in REAL.types)
    catalog = replace(REAL, types=types)
    for targets, expected in (
        (offline_targets(catalog), "p3dn.24xlarge"),
        (offline_targets(catalog, "sagemaker"), "ml.p3dn.24xlarge"),
    ):
        selection = select(make_needs("8", "60Gi", "v100", 2), targets, catalog)
        assert selection.instance_type == expected
        assert "us-east-1 does not offer it, AWS has withdrawn it" in selection.notes[0]


def test_a_queue_that_could_use_another_gpu_rejects_gpu_jobs():
    targets = [queue("mixed", "g4dn.xlarge", "g5.xlarge"), queue("t4", "g4dn.2xlarge")]
    selection = select(make_needs("2", "4Gi", "t4"), targets, REAL)
    assert selection.target.name == "t4"
    (rejection,) = [r for r in selection.rejections() if r.target == "mixed"]
    assert rejection.instance_type is None
    assert "Batch could place the job on g5.xlarge" in rejection.reason


def test_a_queue_whose_other_gpu_types_have_too_few_gpus_accepts_the_job():
    targets = [queue("mixed", "g4dn.12xlarge", "g5.xlarge")]
    assert select(make_needs("2", "4Gi", "t4", 4), targets, REAL).instance_type == "g4dn.12xlarge"


def test_a_queue_that_could_use_a_gpu_with_less_memory_rejects_the_job():
    targets = [queue("p4", "p4d.24xlarge", "p4de.24xlarge")]
    assert select(make_needs(gpu="a100"), targets, REAL).instance_type == "p4d.24xlarge"
    error = no_fit_error(make_needs(gpu="a100-80gb"), targets)
    assert "Batch could place the job on p4d.24xlarge of the same queue" in error.why
    assert "which has a100 with 40 GB" in error.why


def test_a_mixed_queue_accepts_jobs_without_gpus():
    selection = select(make_needs("1", "1Gi"), [queue("mixed", "g4dn.xlarge", "g5.xlarge")], REAL)
    assert selection.instance_type == "g4dn.xlarge"


def test_a_type_of_unknown_price_is_ranked_last():
    priced, unknown = (
        InstanceType("a1.large", 2, 99, 99, price_usd_hour=9.0),
        InstanceType("b9.large", 2, 99, 99),
    )
    catalog = Catalog("r", date(2026, 1, 1), date(2026, 1, 1), (unknown, priced))
    selection = select(Needs(1, 1), offline_targets(catalog), catalog)
    assert [selection.instance_type, *(c.name for c in selection.fallbacks)] == [
        "a1.large",
        "b9.large",
    ]
    alone = select(Needs(1, 1), [queue("q", "b9.large")], catalog)
    assert (alone.price_usd_hour, alone.notes) == (None, ("the price of b9.large is unknown",))
