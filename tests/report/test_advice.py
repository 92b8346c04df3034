"""Advice in the report of a run."""

from __future__ import annotations

from flowyml_aws.planning.advice.auto import START
from flowyml_aws.report.advice import advice_entries
from flowyml_aws.report.data import AdviceEntry
from flowyml_aws.report.page import to_html
from tests.support.histories import a_run, peaks
from tests.support.plans import a_job, a_plan
from tests.support.reports import a_report


def test_each_measured_job_has_its_peaks_and_an_adequate_request() -> None:
    plan = a_plan(a_job("train", vcpus=8, memory_mib=32768), a_job("other"))
    (entry,) = advice_entries(plan, [a_run({"train": peaks(2000, 1.5)})] * 3)
    assert entry == AdviceEntry(
        job="train",
        runs=3,
        cpu_peak_cores=1.5,
        memory_peak_mib=2000,
        requested="8 vCPUs, 32Gi memory",
        advised="2 vCPUs, 2560Mi memory",
    )


def test_below_three_runs_the_report_says_how_many_there_are() -> None:
    (entry,) = advice_entries(a_plan(a_job("train")), [a_run({"train": peaks()})] * 2)
    assert (entry.runs, entry.advised) == (2, None)
    page = to_html(a_report(3).model_copy(update={"advice": (entry,)}))
    assert "needs 3 measured runs" in page


def test_automatic_resources_need_no_advice() -> None:
    job = a_job("train", vcpus=START.vcpus, origins={"vcpus": "default"})
    assert advice_entries(a_plan(job), [a_run({"train": peaks()})] * 3) == ()


def test_a_page_without_measurements_has_no_such_section() -> None:
    assert 'id="advice"' not in to_html(a_report(3))


def test_names_in_the_advice_are_escaped() -> None:
    entry = AdviceEntry(
        job="<img src=x>",
        runs=3,
        cpu_peak_cores=1.0,
        memory_peak_mib=1,
        requested="1 vCPU",
        advised="1 vCPU",
    )
    page = to_html(a_report(3).model_copy(update={"advice": (entry,)}))
    assert "<img src=x>" not in page
    assert "as requested" in page
