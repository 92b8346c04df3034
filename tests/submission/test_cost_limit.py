"""The cost limit of a run while it runs, with a scripted backend and a scripted clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.runtime.result import AttemptEvents, JobResult, StepReport, StepState
from flowyml_aws.submission.backend import JobState, JobStatus
from flowyml_aws.submission.cost_limit import has_used_share, limit_error, limit_notes
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.losses import EndedAttempt
from flowyml_aws.submission.record import RunState, read_outcome
from flowyml_aws.submission.status import failures
from flowyml_aws.submission.times import JobTimes
from tests.submission.scripted import ScriptedBackend
from tests.support.plans import a_job, a_plan, a_record

HOUR = 3600.0
WAITING = JobStatus(JobState.WAITING)


def running(started_at: float, **changes: object) -> JobStatus:
    times = JobTimes(started_at=started_at)
    return JobStatus(JobState.RUNNING, 1, times=times, **changes)  # type: ignore[arg-type]


class LimitedRun:
    """A run of three jobs at $1 per hour, with a limit, a scripted backend and a clock."""

    def __init__(self, folder: Path, limit_usd: float | None = 2.0) -> None:
        jobs = [a_job(name, price_usd_hour=1.0) for name in ("a", "b")]
        jobs.append(a_job("c", after=["b"], price_usd_hour=1.0))
        self.plan: ExecutionPlan = a_plan(*jobs).model_copy(update={"max_cost_usd": limit_usd})
        self.store = DirectoryArtifactStore(folder)
        self.backend = ScriptedBackend()
        self.record = a_record(self.plan)
        self.now = 0.0

    def driver(self) -> RunDriver:
        return RunDriver(self.store, self.record, self.plan, self.backend, clock=lambda: self.now)

    def commit(self, job: str, ended_at: float) -> None:
        result = JobResult(
            run_id=self.record.run_id,
            job=job,
            attempt=1,
            state="succeeded",
            started_at=0.0,
            ended_at=ended_at,
            steps=(StepReport(name=job, state=StepState.SUCCEEDED),),
            assets={},
            skipped={},
        )
        self.store.put(RunLayout(self.record.run_id).result(job), result.to_json())

    def reach_the_limit(self) -> RunDriver:
        """Finish job a after an hour; job b has run for another one."""
        self.commit("a", HOUR)
        self.backend.reported = {"b": running(HOUR), "c": WAITING}
        self.now = 2 * HOUR
        driver = self.driver()
        driver.advance()
        return driver


@pytest.fixture
def run(tmp_path: Path) -> LimitedRun:
    return LimitedRun(tmp_path)


def end_b(run: LimitedRun) -> None:
    last = EndedAttempt(repeated_as=2, seconds=HOUR)
    stopped = JobStatus(JobState.FAILED, 1, "terminated", Cause.CANCELLED, last=last)
    run.backend.reported = {"b": stopped, "c": WAITING}


def test_ended_running_and_lost_attempts_are_counted(run: LimitedRun) -> None:
    run.commit("a", HOUR)
    lost = (EndedAttempt(repeated_as=2, seconds=HOUR / 4),)
    run.backend.reported = {"b": running(HOUR, lost=lost), "c": WAITING}
    run.now = 1.5 * HOUR
    limit = run.driver().status().cost_limit
    assert limit is not None
    assert (limit.counted_usd, limit.limit_usd, limit.reached_at) == (1.75, 2.0, None)


def test_below_the_limit_no_job_is_ended(run: LimitedRun) -> None:
    run.commit("a", HOUR)
    run.backend.reported = {"b": running(HOUR), "c": WAITING}
    run.now = 1.99 * HOUR
    status = run.driver().advance()
    assert (run.backend.cancelled, status.state) == ([], RunState.RUNNING)
    assert limit_notes(status) == ["cost limit: $1.99 of $2.00 counted"]


def test_at_the_limit_the_driver_ends_all_jobs_that_have_not_ended(run: LimitedRun) -> None:
    run.reach_the_limit()
    assert run.backend.cancelled == ["c", "b"]


def test_no_job_is_submitted_at_the_limit_or_later(run: LimitedRun) -> None:
    run.commit("a", 2 * HOUR)
    run.now = 3 * HOUR  # jobs b and c are unknown to the backend: they are ready
    driver = run.driver()
    driver.advance()
    status = driver.advance()
    assert run.backend.submitted == []
    assert [view.state for view in status.jobs[1:]] == [JobState.CANCELLED, JobState.CANCELLED]
    assert status.state is RunState.FAILED


def test_the_run_fails_with_the_limit_the_cost_and_the_command_that_continues_it(
    run: LimitedRun,
) -> None:
    driver = run.reach_the_limit()
    end_b(run)
    status = driver.advance()
    assert status.state is RunState.FAILED
    error = limit_error(status)
    assert error is not None
    assert error.what == "The run reached its cost limit: $2.00 of max_cost_usd $2.00"
    assert error.why == "finished: a; not finished: b, c"
    assert f"`flowyml-aws resume {run.record.run_id} --max-cost-usd USD`" in error.fix


def test_a_job_that_ran_at_the_limit_fails_with_this_cause(run: LimitedRun) -> None:
    driver = run.reach_the_limit()
    end_b(run)
    events = AttemptEvents(
        attempt=1, steps=(StepReport(name="b", state=StepState.RUNNING),), assets={}
    )
    key = RunLayout(run.record.run_id).attempt("b", 1, "events.json")
    run.store.put(key, events.to_json())
    status = driver.advance()
    (failure,) = failures(status)
    assert failure.reason == "the run reached its cost limit, max_cost_usd $2.00"
    assert failure.steps["b"].cause is Cause.COST_LIMIT
    assert status.jobs[2].state is JobState.BLOCKED


def test_any_other_client_reports_the_reached_limit(run: LimitedRun) -> None:
    driver = run.reach_the_limit()
    end_b(run)
    assert limit_error(run.driver().status()) is not None  # before the end is recorded
    driver.advance()
    outcome = read_outcome(run.store, run.record.run_id)
    assert outcome is not None and outcome.state is RunState.FAILED
    assert outcome.cost_limit is not None and outcome.cost_limit.reached_at == 2 * HOUR


def test_a_driver_that_continues_after_another_one_died_ends_the_jobs(run: LimitedRun) -> None:
    run.reach_the_limit()
    run.backend.cancelled.clear()
    run.driver().advance()
    assert run.backend.cancelled == ["c", "b"]


def test_a_job_that_ended_without_a_result_is_counted(run: LimitedRun) -> None:
    last = EndedAttempt(repeated_as=2, seconds=HOUR)
    failed = JobStatus(JobState.FAILED, 1, "exit code 3", last=last)
    run.backend.reported = {"a": failed, "b": failed, "c": WAITING}
    assert run.driver().status().counted_usd == 2.0


def test_a_run_whose_jobs_all_succeed_has_succeeded_whatever_it_cost(run: LimitedRun) -> None:
    for job in "abc":
        run.commit(job, 9 * HOUR)
    status = run.driver().advance()
    assert (status.state, limit_error(status)) == (RunState.SUCCEEDED, None)


def test_without_a_limit_the_cost_is_counted_and_nothing_is_ended(tmp_path: Path) -> None:
    run = LimitedRun(tmp_path, limit_usd=None)
    status = run.reach_the_limit().advance()
    assert (run.backend.cancelled, status.cost_limit, status.counted_usd) == ([], None, 2.0)


def test_a_job_that_its_share_has_ended_fails_with_this_cause(run: LimitedRun) -> None:
    run.plan = run.plan.model_copy(
        update={"jobs": tuple(j.model_copy(update={"share_usd": 0.5}) for j in run.plan.jobs)}
    )
    ended = JobStatus(JobState.FAILED, 1, "duration exceeded timeout", Cause.TIME_LIMIT)
    run.backend.reported = {"a": ended, "b": running(0.0), "c": WAITING}
    view = run.driver().status().jobs[0]
    assert view.reason is not None
    assert "its share of max_cost_usd, $0.50, buys on m6i.large" in view.reason
    assert "--max-cost-usd" in view.reason


@pytest.mark.parametrize(("seconds", "is_used"), [(0.0, True), (1619.0, True), (600.0, False)])
def test_a_job_that_another_time_limit_has_ended_has_not_used_its_share(
    seconds: float, is_used: bool
) -> None:
    job = a_job("a", price_usd_hour=1.0, share_usd=0.5)  # 1800 s, of which the start takes 180
    assert has_used_share(job, EndedAttempt(repeated_as=2, seconds=seconds)) is is_used
