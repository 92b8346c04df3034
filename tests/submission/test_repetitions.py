"""When jobs are executed again because a value is damaged, with a scripted backend.

`tests/contracts/test_resume.py` executes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.plan import Alternative, Estimate, ExecutionPlan, InstanceOffer
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.runtime.result import (
    JobResult,
    StepFailure,
    StepReport,
    StepState,
    read_result,
)
from flowyml_aws.runtime.spec import StepCache
from flowyml_aws.runtime.summary import JobSummary
from flowyml_aws.submission.backend import JobState, JobStatus
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.packing import pack_specs
from flowyml_aws.submission.record import RunOutcome, RunState
from flowyml_aws.submission.repeater import Repeater
from flowyml_aws.submission.repetitions import find_repetition
from flowyml_aws.submission.reports import JobReports
from tests.submission.scripted import MovingBackend
from tests.support.plans import a_job, a_plan, a_record, a_spec

# `score` waits only for `clean`, whose parent is `load`.
PLAN = a_plan(
    a_job("load"),
    a_job("clean", after=["load"], reads={"load": "load"}),
    a_job("score", after=["clean"], reads={"load": "load", "clean": "clean"}),
    a_job("show", after=["score"], reads={"score": "score"}),
)
SUCCEEDED, FAILED = JobStatus(JobState.SUCCEEDED, 1), JobStatus(JobState.FAILED, 1)
LOAD = {"load": 0}
DAMAGE = StepFailure(kind="DamagedArtifactError", message="damaged", cause=Cause.DAMAGED)


class Stage:
    """A run in which a job has found damaged values; by default, `score` that of `load`."""

    def __init__(
        self,
        folder: Path,
        plan: ExecutionPlan = PLAN,
        reader: str = "score",
        damaged: Mapping[str, int] = LOAD,
        cached: bool = True,
    ) -> None:
        self.plan = plan
        self.store = DirectoryArtifactStore(folder)
        cache = StepCache(identity="0", assets={}, machine="", ask=False) if cached else None
        (pack,) = pack_specs(a_spec(job.name, cache=cache) for job in plan.jobs)
        self.record = a_record(plan).model_copy(update={"specs": dict(pack.places)})
        self.layout = RunLayout(self.record.run_id)
        self.store.create(self.layout.specs(0), pack.data)
        self.backend = MovingBackend()
        for job in ("load", "clean"):
            if reader == "score" or job == "load":
                self.commit(job)
                self.backend.reported[job] = SUCCEEDED
        self.commit(reader, damaged=damaged)
        self.backend.reported[reader] = FAILED

    def commit(self, job: str, repetition: int = 0, **changes: Any) -> None:
        is_failed = "damaged" in changes
        members: dict[str, Any] = {
            "attempt": 1 + 10 * repetition,
            "state": "failed" if is_failed else "succeeded",
            "failure": DAMAGE if is_failed else None,
            "started_at": 0.0,
            "ended_at": 3600.0,
            "steps": (StepReport(name=job, state=StepState.SUCCEEDED),),
            "assets": {},
            "skipped": {},
        }
        result = JobResult(run_id=self.record.run_id, job=job, **{**members, **changes})
        self.store.create(self.layout.result(job, repetition), result.to_json())

    def driver(self) -> RunDriver:
        return RunDriver(self.store, self.record, self.plan, self.backend)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


@pytest.mark.parametrize("job", ["load", "score"])
def test_a_job_fails_if_a_result_that_its_repetition_replaces_has_disappeared(
    stage: Stage, job: str
) -> None:
    run_id = stage.record.run_id
    score = next(each for each in stage.plan.jobs if each.name == "score")
    result = read_result(stage.store, run_id, "score")
    assert result is not None
    summary = JobSummary.of(result)
    repeater = Repeater(stage.store, stage.record, JobReports(stage.store, run_id, 4))
    assert repeater.takes(score, summary)
    stage.store.delete([stage.layout.result(job)])
    settled = repeater.settle(stage.plan, stage.backend.reported, {"load", "clean"}, False)
    assert (settled, repeater.found) == ({"score": summary}, {})


def test_the_job_that_produced_the_value_is_executed_again_and_then_its_reader(
    stage: Stage,
) -> None:
    driver = stage.driver()
    status = driver.advance()
    assert status.state is RunState.RUNNING
    assert stage.backend.submitted == [(["load", "score", "show"], {"clean"})]
    load, _, score, show = driver.plan.jobs
    assert [job.submission for job in driver.plan.jobs] == [1, 0, 1, 1]
    assert [job.moved for job in driver.plan.jobs] == [1, 0, 1, 0]
    assert load.repetitions == {"load": 1}
    assert score.repetitions == {"load": 1, "score": 1}
    assert show.repetitions == {"score": 1}
    assert score.after == ("clean", "load")
    assert (load.ended_attempts, score.ended_attempts) == (1, 1)
    assert [str(move) for move in status.moves] == [
        f"{job} is executed again on m6i.large at $0.10/h, on demand, on cpu: the value of asset "
        "'load' is missing or damaged"
        for job in ("load", "score")
    ]
    assert {job: str(lost) for job, lost in status.lost.items()} == {
        "load": "1 attempt lost, $0.10",
        "score": "1 attempt lost, $0.10",
    }


def test_a_reader_that_is_killed_after_its_result_is_executed_again_and_does_not_move(
    tmp_path: Path,
) -> None:
    larger = Alternative(
        needs=Needs(memory_mib=4096),
        target="cpu",
        capacity="on-demand",
        offers=(InstanceOffer(instance_type="m6i.xlarge", price_usd_hour=0.2),),
    )
    jobs = [
        job.model_copy(update={"moves": {Cause.OUT_OF_MEMORY: 0}}) if job.name == "score" else job
        for job in PLAN.jobs
    ]
    changes = {"jobs": tuple(jobs), "alternatives": (larger,)}
    stage = Stage(tmp_path, PLAN.model_copy(update=changes))
    killed = JobStatus(JobState.FAILED, 1, "killed", Cause.OUT_OF_MEMORY)
    stage.backend.reported["score"] = killed
    driver = stage.driver()
    driver.advance()
    score = driver.plan.jobs[2]
    assert (score.moved, score.instance_type) == (1, "m6i.large")
    assert score.repetitions == {"load": 1, "score": 1}


def test_only_the_results_of_the_repetition_count(stage: Stage) -> None:
    stage.driver().advance()
    stage.backend.reported.clear()
    stage.commit("load", repetition=1)
    other = stage.driver()
    status = other.advance()
    assert [view.state for view in status.jobs][:2] == [JobState.SUCCEEDED] * 2
    assert other.reports.result("load") != other.reports.result("score")
    assert stage.backend.submitted[-1] == (["score", "show"], {"load", "clean"})
    assert other.plan == stage.backend.plans[-1]
    stage.commit("score", repetition=1)
    stage.commit("show")
    assert stage.driver().status().state is RunState.SUCCEEDED


def test_a_status_repeats_nothing_and_says_that_a_client_must_drive_the_run(stage: Stage) -> None:
    status = stage.driver().status()
    view = status.jobs[2]
    assert (view.state, view.needs_client) == (JobState.WAITING, True)
    assert view.reason == (
        "the value of asset 'load' is missing or damaged; executed again: load, score"
    )
    assert status.state is RunState.RUNNING
    assert stage.backend.plans == []


def test_a_value_that_is_damaged_again_fails_the_run(stage: Stage) -> None:
    stage.driver().advance()
    stage.commit("load", repetition=1)
    stage.commit("score", repetition=1, damaged={"load": 1})
    status = stage.driver().advance()
    assert status.state is RunState.FAILED
    assert status.jobs[2].reason == "DamagedArtifactError: damaged"


def test_a_reader_of_the_value_before_the_repetition_is_executed_again_alone(
    stage: Stage,
) -> None:
    driver = stage.driver()
    driver.advance()
    stage.commit("load", repetition=1)
    plan, result = driver.plan, stage.store.get(stage.layout.result("score"))
    found = find_repetition(
        plan, plan.jobs[2], JobResult.model_validate_json(result), lambda _: False
    )
    assert found is not None and [job.name for job in found.jobs] == ["score"]


def test_a_value_of_an_earlier_run_is_not_produced_again(tmp_path: Path) -> None:
    load, clean, score, show = PLAN.jobs
    reads = {**score.reads, "load": None}
    stage = Stage(tmp_path, a_plan(load, clean, score.model_copy(update={"reads": reads}), show))
    status = stage.driver().advance()
    assert status.state is RunState.FAILED
    assert stage.backend.submitted == []


def test_a_run_that_has_ended_stays_as_it_is(stage: Stage) -> None:
    outcome = RunOutcome(state=RunState.FAILED, ended_at=7200.0)
    stage.store.create(stage.layout.outcome, outcome.to_json())
    assert stage.driver().advance().state is RunState.FAILED


def test_a_cancelled_run_repeats_nothing(stage: Stage) -> None:
    stage.store.create(stage.layout.cancellation, b"")
    assert stage.driver().advance().state is RunState.FAILED
    assert stage.backend.submitted == []


def test_a_value_that_may_differ_is_not_produced_again_after_another_job_has_read_it(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path, cached=False)
    assert stage.driver().advance().state is RunState.FAILED


def test_a_value_that_may_differ_is_produced_again_for_its_only_reader(tmp_path: Path) -> None:
    stage = Stage(tmp_path, damaged={"clean": 0}, cached=False)
    driver = stage.driver()
    assert driver.advance().state is RunState.RUNNING
    assert [job.submission for job in driver.plan.jobs] == [0, 1, 1, 1]


def test_a_repetition_waits_until_no_other_job_reads_the_value(tmp_path: Path) -> None:
    both = a_plan(a_job("load"), *(a_job(n, after=["load"], reads={"load": "load"}) for n in "ab"))
    stage = Stage(tmp_path, both, reader="a")
    stage.backend.reported["b"] = JobStatus(JobState.RUNNING, 1)
    assert stage.driver().advance().moves == ()
    stage.backend.reported["b"] = SUCCEEDED
    stage.commit("b")
    assert [move.job for move in stage.driver().advance().moves] == ["load", "a"]


def test_a_repetition_waits_until_its_reader_has_ended_at_its_service(stage: Stage) -> None:
    stage.backend.reported["score"] = JobStatus(JobState.RUNNING, 1)
    assert stage.driver().advance().moves == ()


def test_the_cost_limit_holds(tmp_path: Path) -> None:
    estimate = Estimate(runs=1, startup_s=0, cost_usd=0.4, wall_s=None, unknown=(), variants=())
    jobs = (job.model_copy(update={"expected_s": 3600.0}) for job in PLAN.jobs)
    plan = a_plan(*jobs).model_copy(update={"estimate": estimate, "max_cost_usd": 0.55})
    stage = Stage(tmp_path, plan)
    assert stage.driver().advance().state is RunState.FAILED  # two jobs for 0.10 USD each
    cheap = Stage(tmp_path / "cheap", plan.model_copy(update={"max_cost_usd": 0.65}))
    assert cheap.driver().advance().state is RunState.RUNNING
