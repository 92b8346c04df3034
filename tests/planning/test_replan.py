from __future__ import annotations

import pytest

from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.core.errors import NoInstanceFitsError
from flowyml_aws.core.resources import GPUConfig, ResourceRequirements
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.offers import Selector
from flowyml_aws.planning.replan import change_needs, replan
from flowyml_aws.planning.targets import Target
from tests.support.plans import a_job, a_plan

NEEDS = Needs(vcpus=4, memory_mib=8192, storage_gib=50, gpu_model="t4", gpu_count=1)
QUEUES = (
    Target("cpu", "batch", ("m6i.large", "m6i.2xlarge")),
    Target("spot", "batch", ("r6i.xlarge",), capacity="spot"),
)


def selector() -> Selector:
    return Selector("batch", QUEUES, load_catalog())


def test_only_the_given_resources_change() -> None:
    changed = change_needs(NEEDS, ResourceRequirements(memory="32Gi"))
    assert changed == Needs(vcpus=4, memory_mib=32768, storage_gib=50, gpu_model="t4", gpu_count=1)


def test_a_gpu_replaces_type_count_and_memory() -> None:
    gpu = GPUConfig("nvidia-a100", count=8)
    changed = change_needs(NEEDS, ResourceRequirements(gpu=gpu))
    assert (changed.gpu_count, changed.vcpus) == (8, 4)
    assert changed.gpu_model != NEEDS.gpu_model


def test_a_job_is_planned_again_for_its_new_needs() -> None:
    job = a_job("train", memory_mib=2048, expected_s=3600.0)
    (larger,) = replan(a_plan(job), "train", Needs(memory_mib=20_000), selector()).jobs
    assert (larger.target, larger.capacity) in (("cpu", "on-demand"), ("spot", "spot"))
    assert larger.needs.memory_mib == 20_000
    assert larger.offers[0].instance_type in ("m6i.2xlarge", "r6i.xlarge")
    assert larger.expected_cost_usd == larger.offers[0].price_usd_hour
    assert larger.steps == job.steps


def test_an_error_names_the_job_that_fits_nowhere() -> None:
    with pytest.raises(NoInstanceFitsError, match="Job 'train'"):
        replan(a_plan(a_job("train")), "train", Needs(memory_mib=10**6), selector())


def test_the_plan_knows_the_prices_of_the_new_types() -> None:
    plan = a_plan(a_job("load"), a_job("train"))
    changed = replan(plan, "train", Needs(memory_mib=20_000), selector())
    unchanged, larger = changed.jobs
    assert unchanged == plan.jobs[0]
    offer = larger.offers[0]
    assert changed.offer_of(larger, offer.instance_type) == offer
    assert larger.highest is not None
    assert changed.offer_of(larger, larger.highest.instance_type) == larger.highest
