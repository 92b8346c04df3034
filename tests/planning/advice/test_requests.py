"""The smallest adequate request, from histories with a known best answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws.planning.advice.evidence import Evidence, evidence_of, together
from flowyml_aws.planning.advice.requests import MEMORY_MARGIN, NOTHING, advised_needs
from flowyml_aws.planning.needs import Needs
from flowyml_aws.runtime.peaks import StepPeaks
from tests.support.histories import a_growth, a_run, peaks, runs_of

REQUESTED = Needs(vcpus=16, memory_mib=65536)
T4 = Needs(vcpus=4, memory_mib=8192, gpu_model="t4", gpu_count=2)


def advised(
    *measured: StepPeaks | None, needs: Needs = REQUESTED, minimum: Needs = NOTHING
) -> Needs:
    return advised_needs(needs, evidence_of("s", runs_of("s", *measured)), minimum)


def test_memory_is_the_highest_peak_plus_a_fifth() -> None:
    needs = advised(peaks(4000), peaks(5000), peaks(4500))
    assert needs.memory_mib == 6144  # 6000, rounded up to 256 MiB


def test_vcpus_are_the_highest_peak_rounded_up() -> None:
    assert advised(peaks(cores=1.2), peaks(cores=3.4), peaks(cores=0.3)).vcpus == 4


def test_the_noise_of_a_measurement_is_no_further_vcpu() -> None:
    assert advised(peaks(cores=2.03)).vcpus == 2


def test_a_request_that_is_too_small_is_raised() -> None:
    assert advised(peaks(3000), needs=Needs(memory_mib=2048)).memory_mib == 3840


def test_a_step_that_needs_almost_nothing_still_gets_what_python_needs() -> None:
    assert advised(peaks(30, cores=0.01)) == NOTHING


def test_a_declared_minimum_is_never_undercut() -> None:
    minimum = Needs(vcpus=8, memory_mib=32768, storage_gib=50)
    assert advised(peaks(1000), minimum=minimum) == minimum


def test_the_disk_remains_because_its_use_is_not_measured() -> None:
    assert advised(peaks(), needs=Needs(storage_gib=200)).storage_gib == 200


def test_a_run_that_used_up_its_memory_raises_the_request() -> None:
    growth = a_growth(Needs(memory_mib=4096), Needs(memory_mib=8192))
    history = [a_run({"s": peaks(3000)}), a_run({"s": peaks(4000)}, {"s": growth})]
    assert advised_needs(REQUESTED, evidence_of("s", history)).memory_mib == 8192


def test_a_run_that_used_up_its_disk_raises_only_the_disk() -> None:
    growth = a_growth(Needs(storage_gib=30), Needs(storage_gib=60))
    history = [a_run({"s": peaks(3000)}, {"s": growth})]
    needs = advised_needs(Needs(storage_gib=30), evidence_of("s", history))
    assert (needs.storage_gib, needs.memory_mib) == (60, 3840)


def test_gpus_that_no_run_used_are_not_requested() -> None:
    one_idle = peaks(gpu_percent=(80.0, 0.0), gpu_memory_mib=(12000, 400))
    assert advised(one_idle, one_idle, one_idle, needs=T4).gpu_count == 1
    all_idle = peaks(gpu_percent=(0.0, 0.0), gpu_memory_mib=(400, 400))
    none = advised(all_idle, all_idle, all_idle, needs=T4)
    assert (none.gpu_model, none.gpu_count) == (None, 0)


def test_a_gpu_with_data_counts_as_used_even_if_it_computes_nothing() -> None:
    loaded = peaks(gpu_percent=(0.0, 0.0), gpu_memory_mib=(9000, 400))
    assert advised(loaded, loaded, loaded, needs=T4).gpu_count == 1


@pytest.mark.parametrize(
    "measured",
    [peaks(), peaks(gpu_memory_mib=(400, 400))],
    ids=["not measured", "no utilization, as with MIG"],
)
def test_gpus_of_unknown_use_remain(measured: StepPeaks) -> None:
    assert advised(measured, measured, measured, needs=T4).gpu_count == 2


def test_two_measurements_of_an_idle_gpu_are_not_enough() -> None:
    idle = peaks(gpu_percent=(0.0,), gpu_memory_mib=(400,))
    needs = Needs(gpu_model="t4", gpu_count=1)
    assert advised(idle, idle, peaks(), needs=needs).gpu_count == 1


def test_memory_per_gpu_is_lowered_to_the_peak_with_margin_but_never_raised_by_it() -> None:
    used = peaks(gpu_percent=(90.0,), gpu_memory_mib=(20480,))
    large = Needs(gpu_model="a100", gpu_count=1, gpu_memory_gb=80)
    assert advised(used, used, used, needs=large).gpu_memory_gb == 24
    tight = Needs(gpu_model="a100", gpu_count=1, gpu_memory_gb=22)
    assert advised(used, used, used, needs=tight).gpu_memory_gb == 22


def test_a_run_on_the_larger_variant_of_a_gpu_requests_it() -> None:
    used = peaks(gpu_percent=(90.0,), gpu_memory_mib=(61440,))
    needs = Needs(gpu_model="a100", gpu_count=1)
    assert advised(used, used, used, needs=needs).gpu_memory_gb == 60


def test_only_runs_that_measured_the_step_count() -> None:
    history = [*runs_of("s", peaks(), None, peaks()), a_run({"other": peaks()})]
    assert evidence_of("s", history).runs == 2


def test_steps_of_one_job_need_the_maximum_of_each_amount() -> None:
    both = together(
        [
            Evidence(runs=5, cpu_peak_cores=4.0, memory_mib=100, grown_in="r"),
            Evidence(runs=3, cpu_peak_cores=1.0, memory_mib=900, gpus=1),
        ]
    )
    assert both == Evidence(runs=3, cpu_peak_cores=4.0, memory_mib=900, grown_in="r")


histories = st.lists(
    st.builds(
        peaks,
        memory_mib=st.integers(1, 2**21),
        cores=st.floats(0.0, 192.0),
        gpu_percent=st.just((50.0, 0.0)),
        gpu_memory_mib=st.tuples(st.integers(0, 16384), st.integers(0, 16384)),
    ),
    min_size=3,
    max_size=10,
)
all_needs = st.builds(
    Needs,
    vcpus=st.integers(1, 192),
    memory_mib=st.integers(512, 2**21),
    storage_gib=st.integers(0, 1000),
    gpu_model=st.just("t4"),
    gpu_count=st.integers(2, 4),
)


@given(histories, all_needs)
def test_advice_covers_every_measured_peak(history: list[StepPeaks], needs: Needs) -> None:
    result = advised(*history, needs=needs)
    for measured in history:
        assert result.vcpus >= measured.cpu_peak_cores - 0.1
        assert result.memory_mib >= measured.memory_mib * (1 + MEMORY_MARGIN)
        assert result.gpu_count >= sum(mib >= 1024 for mib in measured.gpu_memory_mib)


@given(histories, all_needs, all_needs)
def test_advice_is_never_below_a_minimum(
    history: list[StepPeaks], needs: Needs, minimum: Needs
) -> None:
    result = advised(*history, needs=needs, minimum=minimum)
    without_gpus = (result.amounts[:3], minimum.amounts[:3])
    assert all(a >= b for a, b in zip(*without_gpus, strict=True))
    assert result.gpu_count >= min(needs.gpu_count, minimum.gpu_count)


@given(histories, st.builds(peaks, memory_mib=st.integers(1, 2**21)), all_needs)
def test_a_further_run_never_lowers_the_advice(
    history: list[StepPeaks], more: StepPeaks, needs: Needs
) -> None:
    before, after = advised(*history, needs=needs), advised(*history, more, needs=needs)
    assert all(a >= b for a, b in zip(after.amounts, before.amounts, strict=True))
