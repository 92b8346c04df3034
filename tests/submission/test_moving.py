"""When jobs move to other machines, with a scripted backend; tests/aws/test_moves.py runs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.core.errors import AwsUnavailableError
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.plan import Alternative, Estimate, InstanceOffer
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.runtime.result import JobResult, StepReport, StepState
from flowyml_aws.submission.backend import JobState, JobStatus
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.losses import EndedAttempt
from flowyml_aws.submission.moves import MAX_MOVES, Move, moved
from flowyml_aws.submission.record import RunState
from tests.submission.scripted import MovingBackend
from tests.support.plans import a_job, a_plan, a_record

OUT_OF_MEMORY = JobStatus(JobState.FAILED, 1, "killed", Cause.OUT_OF_MEMORY)
HOSTS_LOST = JobStatus(JobState.FAILED, 5, "Host EC2 terminated", Cause.CAPACITY, losses=5)
QUEUED = JobStatus(JobState.QUEUED)

LARGER = Alternative(
    needs=Needs(memory_mib=4096),
    target="cpu",
    capacity="on-demand",
    offers=(InstanceOffer(instance_type="m6i.xlarge", price_usd_hour=0.2),),
)
ON_DEMAND = LARGER.model_copy(update={"needs": Needs(), "target": "other"})
AGAIN = LARGER.model_copy(update={"capacity": "spot", "moves": {Cause.CAPACITY: 2}})
ALTERNATIVES = (LARGER, ON_DEMAND, AGAIN)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Stage:
    """A run of the chain a, b, whose first job can move."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        moves = {Cause.OUT_OF_MEMORY: 0, Cause.CAPACITY: 1}
        jobs = (a_job("a", **{"moves": moves, **changes}), a_job("b", after=["a"]))
        self.plan = a_plan(*jobs).model_copy(update={"alternatives": ALTERNATIVES})
        self.store = DirectoryArtifactStore(folder)
        self.backend = MovingBackend()
        self.clock = Clock()

    def driver(self) -> RunDriver:
        return RunDriver(
            self.store, a_record(self.plan), self.plan, self.backend, waiting_clock=self.clock
        )

    def report(self, status: JobStatus) -> None:
        self.backend.reported["a"] = status


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_a_job_whose_memory_is_used_up_is_submitted_again_with_the_jobs_after_it(
    stage: Stage,
) -> None:
    stage.report(OUT_OF_MEMORY)
    stage.backend.reported["b"] = JobStatus(JobState.FAILED, 0, "Dependent Job failed")
    driver = stage.driver()
    status = driver.advance()
    assert status.state is RunState.RUNNING
    assert stage.backend.submitted == [(["a", "b"], set())]
    a, b = driver.plan.jobs
    assert (a.needs.memory_mib, a.moved, a.submission) == (4096, 1, 1)
    assert (b.moved, b.submission) == (0, 1)
    assert [str(move) for move in status.moves] == [
        "a moved to m6i.xlarge at $0.20/h, on demand, on cpu: out of memory on m6i.large (cpu)"
    ]


def test_another_client_takes_the_move_over(stage: Stage) -> None:
    stage.report(OUT_OF_MEMORY)
    stage.driver().advance()
    stage.backend.reported.clear()
    other = stage.driver()
    other.status()
    assert other.plan.jobs[0].moved == 1
    assert other.plan == stage.backend.plans[-1]


@pytest.mark.parametrize("ended", ["ab", "a"])
def test_a_job_that_moves_and_ends_during_a_poll_has_moved(stage: Stage, ended: str) -> None:
    driver = stage.driver()
    assert driver.status().jobs[0].job.moved == 0

    class Suspended(MovingBackend):
        """A backend during whose poll another client moves the first job, and jobs end."""

        def statuses(self) -> Mapping[str, JobStatus]:
            stage.report(OUT_OF_MEMORY)
            stage.driver().advance()
            for job in ended:
                result = a_result(driver.record.run_id).model_copy(update={"job": job})
                key = RunLayout(driver.record.run_id).result(job)
                stage.store.put(key, result.to_json())
            return dict.fromkeys(ended, JobStatus(JobState.SUCCEEDED, 1))

    driver.backend = Suspended()
    status = driver.advance()
    if ended == "a":
        driver.backend = MovingBackend(reported={"a": JobStatus(JobState.SUCCEEDED, 6)})
        status = driver.advance()  # has read the move
    assert (status.state is RunState.SUCCEEDED) == (ended == "ab")
    assert [move.job for move in status.moves] == ["a"]
    assert status.jobs[0].job.moved == 1


def test_a_job_that_loses_its_host_after_its_result_has_ended_and_is_withdrawn(
    stage: Stage,
) -> None:
    driver = stage.driver()
    driver.advance()  # has read the results
    result = a_result(driver.record.run_id).model_copy(update={"job": "a"})
    stage.store.put(RunLayout(driver.record.run_id).result("a"), result.to_json())
    stage.report(JobStatus(JobState.QUEUED, 1, losses=1, lost=(EndedAttempt(repeated_as=2),)))
    assert driver.status().jobs[0].state is JobState.SUCCEEDED
    assert stage.backend.withdrawn == []
    for _ in range(2):
        assert driver.advance().jobs[0].state is JobState.SUCCEEDED
    assert stage.backend.withdrawn == ["a"]


def test_the_result_of_a_lost_host_is_read_again_after_an_outage(stage: Stage) -> None:
    class Unavailable(DirectoryArtifactStore):
        is_out = False

        def get(self, key: str) -> bytes:
            if self.is_out and key.endswith("result.json"):
                raise AwsUnavailableError("no answer", "outage", "wait")
            return super().get(key)

    stage.store = store = Unavailable(Path(stage.store.uri.removeprefix("file://")))
    driver = stage.driver()
    driver.advance()  # has read the results
    result = a_result(driver.record.run_id).model_copy(update={"job": "a"})
    store.put(RunLayout(driver.record.run_id).result("a"), result.to_json())
    stage.report(JobStatus(JobState.QUEUED, 1, losses=1, lost=(EndedAttempt(repeated_as=2),)))
    store.is_out = True
    with pytest.raises(AwsUnavailableError):
        driver.advance()
    store.is_out = False
    assert driver.advance().jobs[0].state is JobState.SUCCEEDED
    assert stage.backend.withdrawn == ["a"]


def test_a_status_moves_nothing_and_says_what_the_job_waits_for(stage: Stage) -> None:
    stage.report(OUT_OF_MEMORY)
    status = stage.driver().status()
    a, b = status.jobs
    assert (a.state, a.needs_client) == (JobState.WAITING, True)
    assert a.reason == (
        "out of memory on m6i.large (cpu); it moves to m6i.xlarge at $0.20/h, on demand, on cpu"
    )
    assert (b.state, b.needs_client) == (JobState.WAITING, False)
    assert stage.backend.plans == []


def test_a_job_that_was_not_submitted_needs_a_client(stage: Stage) -> None:
    assert [view.needs_client for view in stage.driver().status().jobs] == [True, False]
    stage.report(QUEUED)
    assert [view.needs_client for view in stage.driver().status().jobs] == [False, False]


def test_a_cause_without_an_alternative_fails_the_job(stage: Stage) -> None:
    stage.report(JobStatus(JobState.FAILED, 1, "disk full", Cause.DISK_FULL))
    status = stage.driver().advance()
    assert status.state is RunState.FAILED
    assert status.jobs[0].reason == "disk full"


def test_a_move_that_the_cost_limit_forbids_fails_the_job_and_says_so(tmp_path: Path) -> None:
    stage = Stage(tmp_path, expected_s=3600.0)
    estimate = Estimate(runs=1, startup_s=0, cost_usd=0.1, wall_s=None, unknown=(), variants=())
    stage.plan = stage.plan.model_copy(update={"estimate": estimate, "max_cost_usd": 0.25})
    stage.report(OUT_OF_MEMORY)
    status = stage.driver().advance()
    assert status.state is RunState.FAILED
    assert "does not move to m6i.xlarge" in (status.jobs[0].reason or "")
    assert "max_cost_usd, $0.25" in (status.jobs[0].reason or "")


@pytest.mark.parametrize("cause", [None, Cause.CANCELLED])
def test_a_job_that_lost_two_hosts_and_waits_is_withdrawn_and_moves_once_it_ended(
    stage: Stage, cause: Cause | None
) -> None:
    stage.report(JobStatus(JobState.QUEUED, 1, losses=1))
    driver = stage.driver()
    driver.advance()
    assert stage.backend.withdrawn == []
    stage.report(JobStatus(JobState.QUEUED, 2, losses=2))
    assert driver.advance().moves == ()
    assert stage.backend.withdrawn == ["a"]
    # The job may have started in the meantime. It was stopped then, as by a user.
    stage.report(JobStatus(JobState.FAILED, 2, "terminated", cause, losses=2))
    # Also if the client that withdrew it is gone.
    (move,) = stage.driver().advance().moves
    assert (move.cause, move.losses) == (Cause.CAPACITY, 2)
    assert "it lost its host 2 times" in move.reason


def test_a_job_that_runs_is_not_withdrawn_whatever_it_lost(stage: Stage) -> None:
    stage.report(JobStatus(JobState.RUNNING, 4, losses=3))
    stage.driver().advance()
    assert stage.backend.withdrawn == []


def test_a_job_that_was_ended_by_somebody_else_fails(stage: Stage) -> None:
    stage.report(JobStatus(JobState.FAILED, 1, "terminated in the console"))
    assert stage.driver().advance().state is RunState.FAILED


def test_a_target_without_capacity_is_left_after_the_time_limit(stage: Stage) -> None:
    stage.report(JobStatus(JobState.QUEUED, lacks_capacity=True))
    driver = stage.driver()
    driver.advance()
    stage.clock.now += 599
    driver.advance()
    assert stage.backend.withdrawn == []
    stage.clock.now += 1
    driver.advance()
    assert stage.backend.withdrawn == ["a"]


def test_a_wait_is_counted_from_its_last_beginning(stage: Stage) -> None:
    driver = stage.driver()
    for lacks in (True, False, True):
        stage.report(JobStatus(JobState.QUEUED, lacks_capacity=lacks))
        driver.advance()
        stage.clock.now += 400
    assert stage.backend.withdrawn == []


def test_a_job_is_not_withdrawn_if_it_could_only_wait_at_the_same_target(tmp_path: Path) -> None:
    stage = Stage(tmp_path, moves={Cause.CAPACITY: 2})
    stage.report(JobStatus(JobState.QUEUED, 3, losses=3, lacks_capacity=True))
    driver = stage.driver()
    driver.advance()
    stage.clock.now += 10_000
    driver.advance()
    assert stage.backend.withdrawn == []


def test_spot_capacity_is_tried_again_after_the_last_attempt_but_not_forever(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path, moves={Cause.CAPACITY: 2})
    stage.report(HOSTS_LOST)
    driver = stage.driver()
    for _ in range(MAX_MOVES):
        assert driver.advance().state is RunState.RUNNING
    assert driver.advance().state is RunState.FAILED
    assert len(driver.status().moves) == MAX_MOVES


def test_an_attempt_that_its_service_lost_leaves_the_target_instead_of_another_attempt(
    stage: Stage,
) -> None:
    stage.report(JobStatus(JobState.LOST, 2, "CapacityError", losses=2))
    driver = stage.driver()
    driver.advance()
    assert driver.plan.jobs[0].target == "other"
    assert stage.backend.withdrawn == []


def test_the_first_of_two_moves_counts(stage: Stage) -> None:
    stage.report(OUT_OF_MEMORY)
    first, second = stage.driver(), stage.driver()
    second.status()  # it knows of no move
    first.advance()
    stage.report(HOSTS_LOST)
    second.advance()
    assert second.plan.jobs[0].target == "cpu"
    assert second.plan.jobs[0].needs.memory_mib == 4096


def test_a_job_that_batch_did_not_start_is_submitted_again_once_its_parents_succeeded(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path, moves={})
    not_started = JobStatus(JobState.FAILED, 0, "Dependent Job failed", Cause.DEPENDENCY)
    stage.report(JobStatus(JobState.RUNNING, 1))
    stage.backend.reported["b"] = not_started
    driver = stage.driver()
    waiting = driver.status().jobs[1]
    assert (waiting.state, waiting.reason) == (JobState.WAITING, None)
    assert not waiting.needs_client
    assert driver.advance().moves == ()
    stage.store.create(driver.layout.result("a"), a_result(driver.record.run_id).to_json())
    stage.report(JobStatus(JobState.FAILED, 1, "killed", Cause.OUT_OF_MEMORY))
    assert driver.status().jobs[1].needs_client
    (move,) = driver.advance().moves
    assert (move.job, move.cause) == ("b", Cause.DEPENDENCY)
    assert stage.backend.submitted == [(["b"], {"a"})]
    assert [(job.moved, job.submission) for job in driver.plan.jobs] == [(0, 0), (1, 1)]


def a_result(run_id: str) -> JobResult:
    return JobResult(
        run_id=run_id,
        job="a",
        attempt=1,
        state="succeeded",
        started_at=10.0,
        ended_at=20.0,
        steps=(StepReport(name="a", state=StepState.SUCCEEDED),),
        assets={},
        skipped={},
    )


def test_every_job_after_a_moved_one_is_submitted_again_and_no_other() -> None:
    plan = a_plan(
        a_job("a", moves={Cause.OUT_OF_MEMORY: 0}),
        a_job("other"),
        a_job("b", after=["a"]),
        a_job("c", after=["b", "other"]),
    ).model_copy(update={"alternatives": ALTERNATIVES})
    move = Move(job="a", number=1, cause=Cause.OUT_OF_MEMORY, reason="", machine="", moved_at=0.0)
    after = moved(plan, move)
    assert {job.name: job.submission for job in after.jobs} == {"a": 1, "other": 0, "b": 1, "c": 1}
    assert after.jobs[0].declared == Needs()
    assert after.jobs[0].moves == {}


def test_all_attempts_on_the_machine_that_a_job_leaves_are_lost(tmp_path: Path) -> None:
    offer = InstanceOffer(instance_type="m6i.large", price_usd_hour=0.36)
    stage = Stage(tmp_path, offers=(offer,))
    lost, last = (EndedAttempt(2, 1000),), EndedAttempt(3, 500)
    stage.report(replace(OUT_OF_MEMORY, attempt=2, lost=lost, last=last))
    status = stage.driver().advance()
    assert status.moves[0].lost.count == 2
    assert status.moves[0].lost.cost_usd == pytest.approx(0.15)
    assert status.lost == {"a": status.moves[0].lost}
    # The price of the attempts after the move is that of the new machine.
    stage.report(JobStatus(JobState.RUNNING, 12, lost=(EndedAttempt(12, 3600),)))
    lost_attempts = stage.driver().status().lost_attempts
    assert lost_attempts.count == 3
    assert lost_attempts.cost_usd == pytest.approx(0.15 + 0.2)
