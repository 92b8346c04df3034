"""Advice in a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from flowyml_aws.planning.advice.document import Advice, JobAdvice, JobPeaks, MachineCost, Option
from flowyml_aws.planning.needs import Needs
from flowyml_aws.view.advice import advice_text

LARGE = MachineCost(
    instance_type="m6i.4xlarge", price_usd_hour=0.768, expected_s=3600, cost_usd=0.768
)
SMALL = MachineCost(
    instance_type="m6i.large", price_usd_hour=0.096, expected_s=3600, cost_usd=0.096
)


def text_of(*options: Option, **changes: Any) -> str:
    members: dict[str, Any] = {
        "job": "train",
        "steps": ("train",),
        "runs": 4,
        "peaks": JobPeaks(cpu_peak_cores=1.9, cpu_mean_cores=0.7, memory_mib=3120),
        "requested": Needs(16, 65536),
        "advised": Needs(2, 3840),
        "before": LARGE,
        "after": SMALL,
    }
    advice = Advice(
        pipeline="digits",
        backend="batch",
        runs=5,
        jobs=(JobAdvice(**{**members, **changes}),),
        cost_usd=0.768,
        advised_cost_usd=0.096,
        options=options,
    )
    console = Console(width=120, no_color=True)
    with console.capture() as capture:
        console.print(advice_text(advice))
    return capture.get()


def test_a_job_shows_its_use_its_request_and_the_cheaper_machine() -> None:
    text = text_of()
    assert "from 5 recorded runs" in text
    assert "measured: at most 1.9 cores (mean 0.7) and 3,120 MiB memory, in 4 runs" in text
    assert "requested: 16 vCPUs, 64Gi memory: m6i.4xlarge at $0.768/h, $0.768 per run" in text
    assert "advised: 2 vCPUs, 3840Mi memory: m6i.large at $0.096/h, $0.096 per run" in text
    assert "a run costs $0.768 as requested, $0.096 as advised (-88 %)" in text
    assert "highest peak plus 20%" in text


def test_a_job_without_advice_shows_the_reason() -> None:
    text = text_of(advised=None, after=None, reason="1 run measured all of its steps")
    assert "no advice: 1 run measured all of its steps" in text
    assert "plus 20%" not in text


def test_an_adequate_request_is_not_repeated() -> None:
    assert "advised: as requested" in text_of(requested=Needs(2, 3840))


def test_used_gpus_are_counted() -> None:
    peaks = JobPeaks(
        cpu_peak_cores=1.0,
        cpu_mean_cores=1.0,
        memory_mib=10,
        gpus=1,
        gpu_percent=64.2,
        gpu_memory_mib=9000,
    )
    assert "1 GPU used (mean 64 %, 9,000 MiB each)" in text_of(peaks=peaks)


def test_an_option_says_what_it_saves_or_costs_or_why_this_is_unknown() -> None:
    text = text_of(
        Option(name="spot", saving_usd=0.06, basis="$0.036 instead of $0.096"),
        Option(name="warm pool", saving_usd=-0.01, basis="nothing to reuse"),
        Option(name="grouping", saving_usd=None, basis="unknown, because of a price"),
    )
    assert "spot: saves $0.06 per run: $0.036 instead of $0.096" in text
    assert "warm pool: costs $0.01 more per run: nothing to reuse" in text
    assert "grouping: unknown, because of a price" in text
