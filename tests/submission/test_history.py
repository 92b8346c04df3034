"""Step times and asset sizes of earlier runs, as later plans read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from flowyml_aws.artifacts.layout import RunLayout, history_key, history_prefix
from flowyml_aws.core.maps import EarlierLength
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.planning.history import earlier_lengths
from flowyml_aws.runtime.peaks import StepPeaks
from flowyml_aws.runtime.result import JobResult, StepReport, StepState
from flowyml_aws.runtime.summary import JobSummary
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.history import read_times, record_times
from flowyml_aws.submission.reports import JobReports
from flowyml_aws.submission.status import JobView, RunStatus
from tests.support.maps import run_of_items, run_of_parts
from tests.support.plans import a_job

PEAKS = StepPeaks(cpu_mean_cores=0.5, cpu_peak_cores=1.9, memory_mib=3120)


@pytest.fixture
def store(tmp_path: Path) -> DirectoryArtifactStore:
    return DirectoryArtifactStore(tmp_path)


def a_status(
    run_id: str,
    *reports: StepReport,
    pipeline: str = "p",
    peaks: Mapping[str, StepPeaks] | None = None,
) -> RunStatus:
    job = a_job("train", steps=tuple(report.name for report in reports))
    summary = JobSummary(
        attempt=1,
        state="succeeded",
        started_at=0,
        ended_at=9,
        steps=reports,
        asset_bytes={"model": 12},
        peaks=dict(peaks or {}),
    )
    view = JobView(job, JobState.SUCCEEDED, 1, steps=reports, result=summary)
    return RunStatus(run_id, pipeline, "batch", 0.0, (view,), ended_at=9.0)


def record(store: DirectoryArtifactStore, status: RunStatus) -> None:
    record_times(store, status, JobReports(store, status.run_id, len(status.jobs)))


def took(name: str, seconds: float, state: StepState = StepState.SUCCEEDED) -> StepReport:
    return StepReport(name=name, state=state, started_at=1.0, ended_at=1.0 + seconds)


def test_a_run_records_its_step_times_and_asset_sizes(
    store: DirectoryArtifactStore,
) -> None:
    record(store, a_status("p-20260101-000000-aaaaaa", took("fit", 5)))
    (times,) = read_times(store, "p")
    assert (times.steps["fit"].duration_s, times.steps["fit"].instance_type) == (5, "m6i.large")
    assert times.asset_bytes == {"model": 12}


def test_a_run_records_the_peaks_of_its_steps(store: DirectoryArtifactStore) -> None:
    status = a_status("p-20260101-000000-aaaaaa", took("fit", 5), peaks={"fit": PEAKS})
    record(store, status)
    (times,) = read_times(store, "p")
    assert times.steps["fit"].peaks == PEAKS


def test_peaks_that_a_summary_leaves_out_are_read_from_the_result(
    store: DirectoryArtifactStore,
) -> None:
    status = a_status("p-20260101-000000-aaaaaa", took("fit", 5))
    result = JobResult(
        run_id=status.run_id,
        job="train",
        attempt=1,
        state="succeeded",
        started_at=0,
        ended_at=9,
        steps=(),
        assets={},
        skipped={},
        peaks={"fit": PEAKS},
    )
    store.put(RunLayout(status.run_id).result("train"), result.to_json())
    record(store, status)
    (times,) = read_times(store, "p")
    assert times.steps["fit"].peaks == PEAKS


def test_a_record_of_an_older_version_has_no_peaks(store: DirectoryArtifactStore) -> None:
    old = b"""{"version": 1, "run_id": "p-20260101-000000-aaaaaa", "pipeline": "p", "ended_at": 9,
    "steps": {"fit": {"duration_s": 5, "instance_type": null}}, "asset_bytes": {}}"""
    store.put(history_key("p", "p-20260101-000000-aaaaaa"), old)
    (times,) = read_times(store, "p")
    assert times.steps["fit"].peaks is None


def test_a_succeeded_run_records_the_lengths_of_the_lists_that_it_produced(
    store: DirectoryArtifactStore,
) -> None:
    ok, bad = StepState.SUCCEEDED, StepState.FAILED
    runs = {
        "p-20260101-000000-aaaaaa": run_of_parts([ok, ok], [ok] * 5),
        "p-20260102-000000-aaaaaa": run_of_parts([ok, ok], [ok] * 3),
        "p-20260103-000000-aaaaaa": run_of_parts([ok, ok], [bad], on_item_failure="drop"),
        "p-20260104-000000-aaaaaa": run_of_parts([ok, StepState.WAITING], [ok]),
        "p-20260105-000000-aaaaaa": run_of_items([ok, ok]),
    }
    for run_id, status in runs.items():
        record(store, replace(status, run_id=run_id, pipeline="p", ended_at=9.0))
    history = read_times(store, "p")
    assert [times.lengths for times in history] == [{}, {}, {"train": 3}, {"train": 5}]
    length = EarlierLength(3, "p-20260102-000000-aaaaaa")
    assert earlier_lengths(history) == {"train": length}
    # Earlier versions can read the others.
    assert b"lengths" not in store.get(history_key("p", "p-20260105-000000-aaaaaa"))


@pytest.mark.parametrize("state", [StepState.FAILED, StepState.SKIPPED, StepState.CACHED])
def test_only_steps_that_ran_and_succeeded_count(
    store: DirectoryArtifactStore, state: StepState
) -> None:
    reports = (took("fit", 5), took("other", 7, state))
    record(store, a_status("p-20260101-000000-aaaaaa", *reports))
    (times,) = read_times(store, "p")
    assert times.steps.keys() == {"fit"}


def test_a_run_without_a_succeeded_step_records_nothing(store: DirectoryArtifactStore) -> None:
    record(store, a_status("p-20260101-000000-aaaaaa", took("fit", 5, StepState.FAILED)))
    assert read_times(store, "p") == ()


def test_the_newest_runs_come_first_up_to_the_limit(store: DirectoryArtifactStore) -> None:
    days = [f"p-202601{day:02}-000000-aaaaaa" for day in range(1, 13)]
    for run_id in days:
        record(store, a_status(run_id, took("fit", 5)))
    assert [t.run_id for t in read_times(store, "p", limit=3)] == days[:-4:-1]


def test_pipelines_with_unusual_names_do_not_share_times(store: DirectoryArtifactStore) -> None:
    for name in ("../p", "p/q", "é"):
        record(store, a_status("p-20260101-000000-aaaaaa", took("fit", 5), pipeline=name))
        (times,) = read_times(store, name)
        assert times.pipeline == name
    assert read_times(store, "p") == ()


def test_a_damaged_record_is_ignored(store: DirectoryArtifactStore) -> None:
    record(store, a_status("p-20260101-000000-aaaaaa", took("fit", 5)))
    store.put(history_key("p", "p-20260102-000000-bbbbbb"), b"{")
    assert store.children(history_prefix("p"))[-1].startswith("p-20260102")
    (times,) = read_times(store, "p")
    assert times.run_id == "p-20260101-000000-aaaaaa"
