from __future__ import annotations

from typing import Any

import pytest

from flowyml_aws.artifacts.keys import check_key
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.runtime.peaks import StepPeaks
from flowyml_aws.runtime.result import JobResult, StepFailure, StepReport, StepState
from flowyml_aws.runtime.summary import JobSummary

STARTED = 1_795_999_999.125


def a_result(*steps: StepReport, **changes: Any) -> JobResult:
    ref = ArtifactRef(uri="s3://b/a", sha256="0" * 64, size_bytes=12, codec="json/1")
    members: dict[str, Any] = {
        "run_id": "r",
        "job": "train",
        "attempt": 2,
        "state": "succeeded",
        "started_at": STARTED,
        "ended_at": STARTED + 60,
        "steps": steps or (a_report("fit"),),
        "assets": {"model": ref},
        "skipped": {"extra": "its step was skipped"},
        "changed": {"train.device": "abc"},
        "instance_type": "m6i.large",
    }
    return JobResult(**{**members, **changes})


def a_report(name: str, **changes: Any) -> StepReport:
    members = {"state": StepState.SUCCEEDED, "started_at": STARTED, "ended_at": STARTED + 1}
    return StepReport(name=name, **{**members, **changes})


def name_of(result: JobResult) -> str:
    name = JobSummary.of(result).to_name()
    assert name is not None
    return name


def test_a_key_contains_everything_that_a_status_shows() -> None:
    summary = JobSummary.of(a_result())
    assert JobSummary.from_name(name_of(a_result())) == summary
    assert summary.asset_bytes == {"model": 12}


def test_a_key_shows_the_state_and_the_attempt_to_people() -> None:
    assert name_of(a_result()).startswith("succeeded.2.")
    assert name_of(a_result(state="failed", attempt=1)).startswith("failed.1.")


def test_a_failure_keeps_its_reason_but_not_its_traceback() -> None:
    failure = StepFailure(kind="ValueError", message="no such column", traceback="Traceback …")
    result = a_result(a_report("fit", state=StepState.FAILED, failure=failure), state="failed")
    summary = JobSummary.from_name(name_of(result))
    assert summary is not None
    assert summary.reason == result.reason == "step 'fit': ValueError: no such column"
    (report,) = summary.steps
    assert report.failure is not None and report.failure.traceback is None


def test_a_long_message_is_cut_off() -> None:
    failure = StepFailure(kind="ValueError", message="é" * 10_000)
    summary = JobSummary.from_name(name_of(a_result(state="failed", failure=failure)))
    assert summary is not None and summary.failure is not None
    assert 100 <= len(summary.failure.message) < 1000


def test_a_key_contains_the_peaks_unless_it_is_too_long_with_them() -> None:
    def summary_of(count: int) -> JobSummary | None:
        names = [f"step_{n}" for n in range(count)]
        peaks = {
            name: StepPeaks(cpu_mean_cores=n / 7, cpu_peak_cores=n / 3, memory_mib=137 * n)
            for n, name in enumerate(names)
        }
        return JobSummary.from_name(name_of(a_result(*map(a_report, names), peaks=peaks)))

    short, long = summary_of(8), summary_of(40)
    assert short is not None and len(short.peaks) == 8
    assert long is not None and (long.peaks, len(long.steps)) == ({}, 40)


def test_the_summary_of_a_job_of_ten_steps_is_short_enough_for_a_key() -> None:
    steps = [a_report(f"step_{n}", started_at=STARTED + n * 7.77) for n in range(10)]
    name = name_of(a_result(*steps))
    key = f"runs/r/jobs/train/ended/{name}"
    check_key(key)
    assert len(key.encode()) < 800
    assert max(map(len, key.split("/"))) <= 255  # file systems have this limit


def test_the_summary_of_a_job_of_many_steps_is_too_long_for_a_key() -> None:
    steps = [a_report(f"step_{n}", started_at=STARTED + n * 7.77) for n in range(200)]
    assert JobSummary.of(a_result(*steps)).to_name() is None


@pytest.mark.parametrize(
    "change",
    [
        lambda name: "",
        lambda name: "notes.txt",
        lambda name: name[:-20],
        lambda name: name.replace(".1/", ".9/"),
        lambda name: name.replace("succeeded", "failed"),
        lambda name: "succeeded.2.1/AAAA",
        lambda name: "succeeded.2.1/é",
    ],
)
def test_another_name_or_a_damaged_one_is_no_summary(change: Any) -> None:
    assert JobSummary.from_name(change(name_of(a_result()))) is None
