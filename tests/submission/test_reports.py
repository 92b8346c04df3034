"""Reports of runs with many jobs; tests/aws/test_call_counts.py counts the calls to AWS."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.runtime.result import AttemptEvents, JobResult, StepFailure, StepReport, StepState
from flowyml_aws.runtime.summary import JobSummary
from flowyml_aws.submission.reports import JobReports

JOBS = [f"job-{number}" for number in range(50)]


class CountingStore(DirectoryArtifactStore):
    """A store that records which objects are read."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.read: list[str] = []

    def get(self, key: str) -> bytes:
        self.read.append(key)
        return super().get(key)


class ManyJobs:
    """A run of 50 jobs in a store."""

    def __init__(self, folder: Path) -> None:
        self.store = CountingStore(folder)
        self.layout = RunLayout("p-20261122-150531-3f9a1c")
        self.reports = JobReports(self.store, self.layout.run_id, len(JOBS))

    def commit(
        self, job: str, summary: bool = True, repetition: int = 0, **changes: Any
    ) -> JobResult:
        members: dict[str, Any] = {
            "attempt": 1,
            "state": "succeeded",
            "started_at": 10.0,
            "ended_at": 20.0,
            "steps": (StepReport(name=job, state=StepState.SUCCEEDED),),
            "assets": {},
            "skipped": {},
        }
        result = JobResult(run_id=self.layout.run_id, job=job, **{**members, **changes})
        self.store.create(self.layout.result(job, repetition), result.to_json())
        if summary:
            self.summarize(result, repetition)
        return result

    def summarize(self, result: JobResult, repetition: int = 0) -> None:
        name = JobSummary.of(result).to_name()
        assert name is not None
        self.store.create(self.layout.summary(result.job, name, repetition), b"")

    def report(self, job: str, state: StepState, modified_at: float) -> None:
        events = AttemptEvents(attempt=1, steps=(StepReport(name=job, state=state),), assets={})
        key = self.layout.attempt(job, 1, "events.json")
        self.store.put(key, events.to_json())
        os.utime(self.store.path(key), (modified_at, modified_at))

    def read_jobs(self) -> list[str]:
        """Return the jobs of the objects that were read since the last call."""
        jobs = [self.layout.split(key)[0] for key in self.store.read]
        self.store.read.clear()
        return jobs


@pytest.fixture
def run(tmp_path: Path) -> ManyJobs:
    return ManyJobs(tmp_path / "store")


def test_results_are_found_without_reading_each(run: ManyJobs) -> None:
    for job in JOBS[:40]:
        run.commit(job)
    summaries = run.reports.summaries(JOBS)
    assert list(summaries) == JOBS[:40]
    assert {summary.state for summary in summaries.values()} == {"succeeded"}
    assert run.read_jobs() == []


def test_only_the_result_of_the_latest_repetition_counts(run: ManyJobs) -> None:
    run.commit(JOBS[0])
    run.commit(JOBS[1])
    run.reports.repetitions = {JOBS[0]: 1}
    assert list(run.reports.summaries(JOBS)) == [JOBS[1]]
    assert run.reports.result(JOBS[0]) is None
    result = run.commit(JOBS[0], repetition=1, attempt=11)
    assert run.reports.summaries(JOBS)[JOBS[0]].attempt == 11
    assert run.reports.result(JOBS[0]) == result


def test_a_summary_without_a_result_does_not_count(run: ManyJobs) -> None:
    run.commit(JOBS[0])
    run.store.delete([run.layout.result(JOBS[0])])
    assert run.reports.summaries(JOBS) == {}


def test_a_result_without_a_summary_is_read(run: ManyJobs) -> None:
    run.commit(JOBS[0])
    run.commit(JOBS[1], summary=False)
    assert list(run.reports.summaries(JOBS)) == JOBS[:2]
    assert run.read_jobs() == [JOBS[1]]


def test_two_summaries_of_a_job_are_settled_by_its_result(run: ManyJobs) -> None:
    result = run.commit(JOBS[0])
    run.summarize(result.model_copy(update={"state": "failed", "attempt": 7}))
    assert run.reports.summaries(JOBS)[JOBS[0]].state == "succeeded"
    assert run.read_jobs() == [JOBS[0]]


def test_some_of_many_failed_results_are_read_for_their_tracebacks(run: ManyJobs) -> None:
    failure = StepFailure(kind="ValueError", message="no", traceback="Traceback …")
    for job in JOBS:
        run.commit(job, state="failed", failure=failure)
    summaries = run.reports.summaries(JOBS)
    assert {summary.reason for summary in summaries.values()} == {"ValueError: no"}
    tracebacks = [s.failure.traceback for s in summaries.values() if s.failure is not None]
    read = run.read_jobs()
    assert tracebacks[:3] == ["Traceback …"] * 3 and set(tracebacks[3:]) == {None}
    assert sorted(read) == sorted(JOBS[:3])


def test_a_result_is_read_once(run: ManyJobs) -> None:
    result = run.commit(JOBS[0])
    assert run.reports.result(JOBS[0]) == run.reports.result(JOBS[0]) == result
    assert run.read_jobs() == [JOBS[0]]


def test_a_few_jobs_are_read_one_by_one(run: ManyJobs) -> None:
    run.commit(JOBS[0])
    assert list(run.reports.summaries(JOBS[:2])) == JOBS[:1]
    assert sorted(run.read_jobs()) == JOBS[:2]


def test_each_poll_reads_events_that_no_poll_has_read(run: ManyJobs) -> None:
    for job in JOBS[:9]:
        run.report(job, StepState.RUNNING, modified_at=100)
    attempts = dict.fromkeys(JOBS, 1)
    known = [len(run.reports.events(attempts)) for _ in range(4)]
    assert known == [3, 6, 9, 9]
    assert sorted(run.read_jobs()) == JOBS[:9]  # none twice


def test_events_that_changed_are_read_again(run: ManyJobs) -> None:
    run.report(JOBS[0], StepState.RUNNING, modified_at=100)
    attempts = dict.fromkeys(JOBS, 1)
    run.reports.events(attempts)
    run.report(JOBS[0], StepState.SUCCEEDED, modified_at=101)
    (report,) = run.reports.events(attempts)[JOBS[0]].steps
    assert report.state is StepState.SUCCEEDED


def test_events_of_an_earlier_attempt_do_not_count(run: ManyJobs) -> None:
    run.report(JOBS[0], StepState.RUNNING, modified_at=100)
    assert list(run.reports.events(dict.fromkeys(JOBS, 1))) == JOBS[:1]
    assert run.reports.events(dict.fromkeys(JOBS, 2)) == {}
