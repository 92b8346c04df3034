"""Findings for runs that have ended."""

from __future__ import annotations

from pathlib import Path

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.doctor.ended import end_finding, find_end
from flowyml_aws.doctor.examination import Report
from flowyml_aws.doctor.run import examine_run
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.planning.plan import ReusedStep
from flowyml_aws.runtime.result import StepReport, StepState
from flowyml_aws.submission.backend import JobState, JobStatus
from flowyml_aws.submission.cancellation import Cancellation, read_cancellation
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.record import RunOutcome, RunState
from flowyml_aws.submission.status import JobView, RunStatus
from flowyml_aws.view.findings import verdict
from tests.submission.scripted import ScriptedBackend
from tests.support.plans import a_job, a_plan, a_record

RUN = "my-pipeline-20261122-150531-3f9a1c"
LATER = "my-pipeline-20261123-080000-aaaaaa"
RESUME = f"`flowyml-aws resume {RUN}` continues it as a new run"
BY_ANA = Cancellation(ended_at=1_796_000_000.0, by="ana on ana-laptop")


def a_status(*views: JobView, ended_at: float | None = None) -> RunStatus:
    return RunStatus(RUN, "My pipeline: été", "batch", 0.0, jobs=views, ended_at=ended_at)


def a_view(name: str, state: JobState, step: StepState, reason: str | None = None) -> JobView:
    report = StepReport(name=name, state=step, reason=reason)
    return JobView(a_job(name), state, attempt=1, steps=(report,))


DONE = a_view("load", JobState.SUCCEEDED, StepState.SUCCEEDED)


def test_a_cancelled_run_is_a_warning_with_who_when_and_the_command_that_continues_it() -> None:
    status = a_status(DONE, a_view("train", JobState.CANCELLED, StepState.CANCELLED))
    finding = end_finding(status, BY_ANA, later=None)
    assert finding is not None
    assert (finding.code, finding.level) == ("run-cancelled", "warning")
    assert finding.what == "The run was cancelled by ana on ana-laptop at 2026-11-30 00:53:20 UTC"
    assert finding.why == "1 of 2 steps finished before"
    assert finding.fix == RESUME
    assert str(verdict([Report(RUN, (finding,), is_complete=True)])) == "1 warning."


def test_a_cancelled_run_of_an_older_version_does_not_say_who() -> None:
    status = a_status(a_view("train", JobState.CANCELLED, StepState.CANCELLED))
    finding = end_finding(status, None, later=None)
    assert finding is not None and finding.what == "The run was cancelled"


def test_a_run_whose_jobs_are_still_ending_is_being_cancelled() -> None:
    status = a_status(a_view("train", JobState.RUNNING, StepState.RUNNING))
    finding = end_finding(status, BY_ANA, later=None)
    assert finding is not None and finding.what.endswith(" UTC, and its jobs are ending")
    assert end_finding(status, None, later=None) is None


def test_a_failed_run_has_its_time_and_the_command_that_continues_it() -> None:
    status = a_status(a_view("train", JobState.FAILED, StepState.FAILED), ended_at=60.0)
    finding = end_finding(status, None, later=None)
    assert finding is not None
    assert (finding.code, finding.level, finding.fix) == ("run-failed", "note", RESUME)
    assert finding.what == "The run failed at 1970-01-01 00:01:00 UTC"


def test_a_run_that_a_later_one_has_superseded_is_not_continued() -> None:
    status = a_status(a_view("train", JobState.CANCELLED, StepState.CANCELLED))
    finding = end_finding(status, BY_ANA, later=LATER)
    assert finding is not None and (finding.level, finding.fix) == ("note", "")
    assert finding.why == f"run {LATER} of this pipeline has succeeded since then"


def test_a_run_that_was_skipped_entirely_has_the_reason() -> None:
    status = a_status(a_view("train", JobState.SUCCEEDED, StepState.SKIPPED, "its condition"))
    finding = end_finding(status, None, later=None)
    assert finding is not None
    assert (finding.code, finding.level, finding.why) == (
        "run-skipped",
        "note",
        "step 'train': its condition",
    )


def test_a_run_that_reuses_everything_has_succeeded() -> None:
    reused = ReusedStep(run_id=LATER, produces=("rows",), assets={})
    status = RunStatus(RUN, "p", "local", 0.0, reused={"load": reused, "clean": reused})
    finding = end_finding(status, None, later=None)
    assert finding is not None
    assert finding.what == "The run has succeeded; steps: 2 cached"


def test_a_later_success_of_the_same_pipeline_is_found(tmp_path: Path) -> None:
    store, plan = DirectoryArtifactStore(tmp_path), a_plan(a_job("train"))
    driver = RunDriver(store, a_record(plan), plan, ScriptedBackend(), clock=lambda: 5.0)
    driver.cancel(by="ana on ana-laptop")
    status = driver.status()
    finding = find_end(driver, status)
    assert finding is not None and finding.what.startswith("The run was cancelled by ana on")
    other = driver.record.model_copy(update={"run_id": LATER, "created_at": 9.0})
    outcome = RunOutcome(state=RunState.SUCCEEDED, ended_at=10.0)
    store.put(RunLayout(LATER).run, other.to_json())
    store.put(RunLayout(LATER).outcome, outcome.to_json())
    finding = find_end(driver, status)
    assert finding is not None and LATER in finding.why


def test_a_cancellation_of_an_older_version_is_read_without_a_name(tmp_path: Path) -> None:
    store, key = DirectoryArtifactStore(tmp_path), RunLayout(RUN).cancellation
    store.put(key, RunOutcome(state=RunState.CANCELLED, ended_at=3.0).to_json())
    assert read_cancellation(store, RUN) == Cancellation(ended_at=3.0)
    store.put(key, b"{}")
    assert read_cancellation(store, RUN) is None
    assert read_cancellation(store, LATER) is None


def test_cancelled_jobs_follow_the_finding_of_their_run(tmp_path: Path) -> None:
    plan = a_plan(a_job("train"))
    backend = ScriptedBackend({"train": JobStatus(JobState.FAILED, 1)})
    driver = RunDriver(DirectoryArtifactStore(tmp_path), a_record(plan), plan, backend)
    driver.store.put(driver.layout.cancellation, BY_ANA.to_json())
    codes = [(report.check, report.findings[0].code) for report in examine_run(driver)]
    assert codes == [(RUN, "run-cancelled"), ("train", "job-ended")]
