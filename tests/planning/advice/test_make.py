"""Advice on whole pipelines, from histories with a known best answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from functools import partial

import pytest

from flowyml_aws.catalog.types import Catalog, InstanceType
from flowyml_aws.core.auto_resources import DeclaredResources
from flowyml_aws.core.binding import bind_steps
from flowyml_aws.core.build import build_pipeline
from flowyml_aws.core.resources import GPUConfig
from flowyml_aws.core.step import Step, step
from flowyml_aws.planning.advice.document import Advice, Option
from flowyml_aws.planning.advice.make import make_advice
from flowyml_aws.planning.history import RunTimes
from flowyml_aws.planning.make import make_plan
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.placement import Placement
from flowyml_aws.planning.services import service_traits
from flowyml_aws.planning.targets import offline_targets
from tests.support.histories import a_growth, a_run, peaks

TYPES = (
    InstanceType("c1.small", 2, 4096, 4096, price_usd_hour=0.1, spot_usd_hour=0.04),
    InstanceType("c1.large", 16, 65536, 65536, price_usd_hour=1.0, spot_usd_hour=0.3),
    InstanceType(
        "g1.gpu",
        *(4, 16384, 16384),
        gpu_model="t4",
        gpu_count=1,
        gpu_memory_gb=16,
        price_usd_hour=3.0,
    ),
)
ON_SAGEMAKER = tuple(
    InstanceType(
        name,
        *(2 * size, 4096 * size, 4096 * size),
        sagemaker_name=f"ml.{name}",
        sagemaker_price_usd_hour=0.36 * size,
    )
    for name, size in (("c1.small", 1), ("c1.large", 8))
)
BATCH_START_S = service_traits("batch").startup_s
SAGEMAKER_START_S = service_traits("sagemaker").startup_s
HOUR_USD = (3600 + BATCH_START_S) / 3600  # of a job with a step of an hour, per USD per hour
LARGE = {"cpu": 8, "memory": "32Gi"}
SMALL_USE = peaks(2000, 1.5)


def chain(*resources: DeclaredResources, group: str | None = None) -> list[Step]:
    return [
        step(
            name=f"s{n}",
            inputs=[f"a{n - 1}"] if n else [],
            outputs=[f"a{n}"],
            resources=each,
            execution_group=group,
        )(lambda **values: 1)
        for n, each in enumerate(resources)
    ]


def advice_on(
    steps: Sequence[Step],
    history: Sequence[RunTimes],
    backend: str = "batch",
    types: tuple[InstanceType, ...] = TYPES,
) -> Advice:
    catalog = Catalog("r", date(2026, 1, 1), date(2026, 1, 1), types)
    built, problems = build_pipeline(bind_steps(steps, (), {}), ())
    assert built is not None, problems
    targets = () if backend == "local" else offline_targets(catalog, backend)
    planner = partial(
        make_plan,
        pipeline="p",
        placement=Placement.of(backend),
        graph=built.graph,
        catalog=catalog,
        history=history,
    )
    return make_advice(planner, built.groups, targets, history)


def option(advice: Advice, name: str) -> Option:
    return {each.name: each for each in advice.options}[name]  # type: ignore[index]


def test_an_oversized_job_gets_the_cheapest_type_that_its_peaks_fit() -> None:
    advice = advice_on(chain(LARGE), [a_run({"s0": SMALL_USE})] * 3)
    (job,) = advice.jobs
    assert (job.requested, job.advised) == (Needs(8, 32768), Needs(2, 2560))
    assert job.after is not None
    assert (job.before.instance_type, job.after.instance_type) == ("c1.large", "c1.small")
    assert job.before.cost_usd == pytest.approx(1.0 * HOUR_USD)
    assert job.after.cost_usd == pytest.approx(0.1 * HOUR_USD)
    assert advice.cost_usd == pytest.approx(1.0 * HOUR_USD)
    assert advice.advised_cost_usd == pytest.approx(0.1 * HOUR_USD)


def test_two_measured_runs_are_not_enough() -> None:
    history = [*[a_run({"s0": SMALL_USE})] * 2, *[a_run({"s0": None})] * 5]
    advice = advice_on(chain(LARGE), history)
    (job,) = advice.jobs
    assert (job.runs, job.advised, job.after) == (2, None, None)
    assert job.reason == "2 runs measured all of its steps; advice needs 3"
    assert (advice.runs, advice.advised_cost_usd, advice.options) == (7, None, ())


def test_every_step_of_a_group_must_be_measured() -> None:
    history = [a_run({"s0": SMALL_USE, "s1": None})] * 3
    (job,) = advice_on(chain(LARGE, LARGE, group="g"), history).jobs
    assert (job.runs, job.advised) == (0, None)


def test_a_group_needs_the_maximum_of_its_steps() -> None:
    history = [a_run({"s0": peaks(3000, 0.5), "s1": peaks(500, 1.5)})] * 3
    (job,) = advice_on(chain(LARGE, LARGE, group="g"), history).jobs
    assert job.advised == Needs(2, 3840)


def test_a_request_that_fits_is_adequate() -> None:
    (job,) = advice_on(chain({"cpu": 2, "memory": "2560Mi"}), [a_run({"s0": SMALL_USE})] * 3).jobs
    assert job.is_adequate
    assert job.after == job.before


def test_a_run_out_of_memory_raises_a_request_with_the_reason() -> None:
    growth = a_growth(Needs(1, 2048), Needs(1, 5000))
    history = [a_run({"s0": peaks(1900)}, {"s0": growth}, run_id="p-7")] * 3
    (job,) = advice_on(chain({"cpu": 1, "memory": "1Gi"}), history).jobs
    assert job.advised == Needs(1, 5000)
    assert job.reason == "run p-7 used up what it requested"


def test_an_idle_gpu_is_not_requested() -> None:
    idle = peaks(2000, 1.5, gpu_percent=(0.0,), gpu_memory_mib=(300,))
    with_gpu: DeclaredResources = {"gpu": GPUConfig("t4")}
    advice = advice_on(chain(with_gpu), [a_run({"s0": idle})] * 3)
    (job,) = advice.jobs
    assert job.after is not None
    assert (job.before.instance_type, job.after.instance_type) == ("g1.gpu", "c1.small")


def test_a_job_whose_use_fits_no_machine_has_no_advice_and_the_others_have() -> None:
    history = [a_run({"s0": peaks(60_000), "s1": SMALL_USE})] * 3
    full, other = advice_on(chain({"memory": "62Gi"}, LARGE), history).jobs
    assert full.advised is None
    assert full.reason == "no machine fits the measured use with its margin"
    assert other.advised == Needs(2, 2560)


def test_automatic_resources_have_peaks_and_no_advice() -> None:
    (job,) = advice_on(chain("auto"), [a_run({"s0": SMALL_USE})] * 3).jobs
    assert (job.requested, job.advised) == (Needs(2, 2560), None)
    assert job.peaks is not None and job.peaks.memory_mib == 2000


def test_a_step_that_only_needs_little_is_cheaper_in_a_job_of_its_own() -> None:
    history = [a_run({"s0": peaks(40_000, 12.0), "s1": SMALL_USE})] * 3
    grouping = option(advice_on(chain(LARGE, LARGE, group="g"), history), "grouping")
    saved = 1.0 - (0.1 + 0.1 * BATCH_START_S / 3600)
    assert grouping.saving_usd == pytest.approx(saved)
    assert "g: s0 | s1" in grouping.basis


def test_short_steps_with_equal_needs_stay_together() -> None:
    history = [a_run({"s0": SMALL_USE, "s1": SMALL_USE}, seconds=5.0)] * 3
    grouping = option(advice_on(chain(LARGE, LARGE, group="g"), history), "grouping")
    assert grouping.saving_usd == 0.0
    assert grouping.basis == "no split or merge of the groups is cheaper"


def test_short_jobs_on_one_type_are_cheaper_as_one_group() -> None:
    history = [a_run({f"s{n}": SMALL_USE for n in range(3)}, seconds=5.0)] * 3
    grouping = option(advice_on(chain(LARGE, LARGE, LARGE), history), "grouping")
    assert grouping.saving_usd == pytest.approx(2 * 0.1 * BATCH_START_S / 3600)
    assert grouping.basis.endswith("if these are one group: s0 + s1 + s2")


def test_a_small_job_is_not_merged_into_a_large_one_that_costs_more() -> None:
    history = [a_run({"s0": SMALL_USE, "s1": peaks(40_000, 12.0)})] * 3
    grouping = option(advice_on(chain(LARGE, LARGE), history), "grouping")
    assert grouping.saving_usd == 0.0


def test_jobs_whose_environments_conflict_are_not_merged() -> None:
    steps = [
        replace(each, env={"MODE": str(number)}) for number, each in enumerate(chain(None, None))
    ]
    history = [a_run({"s0": SMALL_USE, "s1": SMALL_USE}, seconds=5.0)] * 3
    assert option(advice_on(steps, history), "grouping").saving_usd == 0.0


def test_spot_is_compared_at_the_advised_request() -> None:
    advice = advice_on(chain(LARGE), [a_run({"s0": SMALL_USE})] * 3)
    spot = option(advice, "spot")
    assert spot.saving_usd == pytest.approx((0.1 - 0.04) * HOUR_USD)
    assert "s0 on c1.small at $0.04/h" in spot.basis


def test_a_type_without_a_spot_price_has_no_known_saving() -> None:
    types = (InstanceType("c1.small", 2, 4096, 4096, price_usd_hour=0.1),)
    advice = advice_on(chain(None), [a_run({"s0": SMALL_USE}, on="c1.small")] * 3, types=types)
    assert option(advice, "spot").saving_usd is None


def test_kept_instances_save_starts_and_cost_their_waits() -> None:
    steps = chain(None, None)
    history = [a_run({"s0": SMALL_USE, "s1": SMALL_USE}, on="ml.c1.small")] * 3
    pool = option(advice_on(steps, history, "sagemaker", ON_SAGEMAKER), "warm pool")
    assert pool.saving_usd == pytest.approx(0.36 * (SAGEMAKER_START_S - 300) / 3600)
    assert "lets 1 job start on a kept instance" in pool.basis


def test_an_instance_is_not_kept_for_a_job_of_another_type() -> None:
    history = [a_run({"s0": SMALL_USE, "s1": peaks(20_000)}, on=None)] * 3
    pool = option(advice_on(chain(None, None), history, "sagemaker", ON_SAGEMAKER), "warm pool")
    assert pool.saving_usd == pytest.approx(-(0.36 + 0.36 * 8) * 300 / 3600)


def test_instances_are_not_kept_for_a_job_with_another_number_of_nodes() -> None:
    history = [a_run({"s0": SMALL_USE, "s1": SMALL_USE}, on=None)] * 3
    advice = advice_on(chain({"nodes": 2}, None), history, "sagemaker", ON_SAGEMAKER)
    assert option(advice, "warm pool").saving_usd == pytest.approx(-0.36 * (2 + 1) * 300 / 3600)


def test_advice_names_the_steps_that_leave_nodes_idle() -> None:
    steps = chain({"nodes": 4, "cpu": 1, "memory": "1Gi"}, None, group="g")
    advice = advice_on(steps, [a_run({"s0": SMALL_USE, "s1": SMALL_USE})] * 3)
    assert "step 's1' uses 1 of 4 nodes: the rest waits, at $0.30 an hour" in advice.notes
    assert advice.jobs[0].before.cost_usd is not None
    assert advice.jobs[0].before.price_usd_hour == pytest.approx(0.4)


def test_only_services_that_keep_instances_have_this_option() -> None:
    advice = advice_on(chain(None), [a_run({"s0": SMALL_USE})] * 3)
    assert [each.name for each in advice.options] == ["grouping", "spot"]


def test_a_notebook_shows_a_row_for_each_job() -> None:
    (sheet,) = advice_on(chain(LARGE), [a_run({"s0": SMALL_USE})] * 3)._sheets()
    assert sheet.rows == [
        (
            "s0",
            "3",
            "8 vCPUs, 32Gi memory",
            "2 vCPUs, 2560Mi memory",
            "c1.large",
            "c1.small",
            "$1.05",
            "$0.105",
            "",
        )
    ]


def test_on_this_machine_there_are_requests_but_no_costs() -> None:
    advice = advice_on(chain(LARGE), [a_run({"s0": SMALL_USE}, on=None)] * 3, "local")
    (job,) = advice.jobs
    assert (job.advised, job.before.instance_type) == (Needs(2, 2560), None)
    assert (advice.cost_usd, advice.options) == (None, ())
