"""The driver's decisions with a scripted backend; tests/contracts drives real backends."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pytest

from flowyml_aws import Run
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.core.errors import AwsRefusedError
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.planning.plan import ExecutionPlan, InstanceOffer, PlannedJob
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.runtime.result import (
    AttemptEvents,
    JobResult,
    StepFailure,
    StepReport,
    StepState,
)
from flowyml_aws.submission.backend import JobState, JobStatus
from flowyml_aws.submission.bills import BILLS_WAIT_S
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.losses import EndedAttempt
from flowyml_aws.submission.record import Bill, RunState, read_outcome
from flowyml_aws.submission.status import machine_notes
from tests.submission.scripted import SampledBackend, ScriptedBackend
from tests.support.plans import a_job, a_plan, a_record

LOST, RUNNING = JobStatus(JobState.LOST, 1), JobStatus(JobState.RUNNING, 1)
SUCCEEDED = JobStatus(JobState.SUCCEEDED, 1)
CHAIN = a_plan(a_job("a"), a_job("b", after=["a"]), a_job("c", after=["b"]))


class Stage:
    """A run with a store in a directory and a scripted backend."""

    def __init__(self, folder: Path, plan: ExecutionPlan = CHAIN) -> None:
        self.store = DirectoryArtifactStore(folder)
        self.backend = ScriptedBackend()
        self.plan = plan
        self.record = a_record(plan)
        self.layout = RunLayout(self.record.run_id)
        self.now = 0.0

    def driver(self) -> RunDriver:
        return RunDriver(self.store, self.record, self.plan, self.backend, clock=lambda: 100.0)

    def commit(
        self,
        job: str,
        state: str = "succeeded",
        failure: StepFailure | None = None,
        attempt: int = 1,
    ) -> None:
        step = StepReport(name=job, state=StepState(state), failure=failure)
        result = JobResult(
            run_id=self.record.run_id,
            job=job,
            attempt=attempt,
            state="succeeded" if state == "succeeded" else "failed",
            started_at=10.0,
            ended_at=20.0,
            steps=(step,),
            assets={},
            skipped={},
        )
        self.store.put(self.layout.result(job), result.to_json())

    def write_events(
        self, job: str, *steps: StepReport, attempt: int = 1, instance_type: str | None = None
    ) -> None:
        events = AttemptEvents(attempt=attempt, steps=steps, assets={}, instance_type=instance_type)
        self.store.put(self.layout.attempt(job, attempt, "events.json"), events.to_json())


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path / "store")


def states(driver: RunDriver) -> list[JobState]:
    return [view.state for view in driver.status().jobs]


def test_jobs_unknown_to_the_backend_are_offered_with_the_succeeded_jobs(stage: Stage) -> None:
    stage.commit("a")
    stage.driver().advance()
    assert stage.backend.submitted == [(["b", "c"], {"a"})]


def test_a_lost_job_is_offered_again_and_reported_as_waiting(stage: Stage) -> None:
    stage.backend.reported = {"a": LOST, "b": JobStatus(JobState.WAITING)}
    status = stage.driver().advance()
    assert stage.backend.submitted == [(["a", "c"], set())]
    assert status.jobs[0].state is JobState.WAITING


def test_reading_the_status_submits_nothing(stage: Stage) -> None:
    stage.driver().status()
    assert stage.backend.submitted == []


def test_only_a_result_proves_that_a_job_succeeded(stage: Stage) -> None:
    stage.backend.reported = {"a": SUCCEEDED}
    view = stage.driver().status().jobs[0]
    assert view.state is JobState.FAILED
    assert view.reason is not None and "left no result" in view.reason


def test_a_result_overrides_the_backends_state(stage: Stage) -> None:
    stage.backend.reported = {"a": JobStatus(JobState.FAILED, 1, "host lost"), "b": RUNNING}
    stage.commit("a")
    assert states(stage.driver())[:2] == [JobState.SUCCEEDED, JobState.RUNNING]


def test_a_result_written_during_a_poll_is_seen_in_the_same_poll(stage: Stage) -> None:
    driver = stage.driver()
    stage.backend.reported = {"a": RUNNING}
    assert states(driver)[0] is JobState.RUNNING
    stage.commit("a")
    stage.backend.reported = {"a": SUCCEEDED}
    assert states(driver)[0] is JobState.SUCCEEDED


def test_descendants_of_a_failed_job_are_blocked_with_a_reason(stage: Stage) -> None:
    stage.commit("a", "failed")
    status = stage.driver().advance()
    assert [view.state for view in status.jobs] == [
        JobState.FAILED,
        JobState.BLOCKED,
        JobState.BLOCKED,
    ]
    assert [view.reason for view in status.jobs[1:]] == ["a did not succeed", "b did not succeed"]
    assert (status.state, stage.backend.submitted) == (RunState.FAILED, [])


def test_a_run_with_all_results_in_the_store_polls_no_backend(stage: Stage) -> None:
    for job in "abc":
        stage.commit(job)
    assert stage.driver().status().state is RunState.SUCCEEDED
    assert stage.backend.polls == 0


def test_a_failed_step_is_the_jobs_reason(stage: Stage) -> None:
    failure = StepFailure(kind="ValueError", message="no luck", traceback="…")
    stage.commit("a", "failed", failure)
    assert stage.driver().status().jobs[0].reason == "step 'a': ValueError: no luck"


def test_a_job_that_ends_without_a_result_fails_at_its_running_step(tmp_path: Path) -> None:
    stage = Stage(tmp_path, a_plan(a_job("a", steps=("one", "two", "three"))))
    stage.backend.reported = {"a": JobStatus(JobState.FAILED, 2, "out of memory")}
    done = StepReport(name="one", state=StepState.SUCCEEDED)
    running = StepReport(name="two", state=StepState.RUNNING, started_at=5.0)
    stage.write_events("a", done, running, StepReport(name="three"), attempt=2)
    steps = stage.driver().status().steps
    assert [step.state for step in steps.values()] == [
        StepState.SUCCEEDED,
        StepState.FAILED,
        StepState.NOT_RUN,
    ]
    assert steps["two"].failure is not None and steps["two"].failure.message == "out of memory"


def test_an_item_whose_outputs_were_not_stored_is_not_the_one_that_ended_its_job(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path, a_plan(a_job("a", steps=("one[0]", "one[1]"))))
    stage.backend.reported = {"a": JobStatus(JobState.FAILED, 1, "out of memory")}
    ended = StepReport(name="one[0]", state=StepState.RUNNING, started_at=1.0, ended_at=2.0)
    running = StepReport(name="one[1]", state=StepState.RUNNING, started_at=2.0)
    stage.write_events("a", ended, running, attempt=1)
    steps = stage.driver().status().steps
    assert [step.state for step in steps.values()] == [StepState.NOT_RUN, StepState.FAILED]


@pytest.mark.parametrize(
    ("reported", "cause"),
    [
        (JobStatus(JobState.FAILED, 1, "killed", Cause.OUT_OF_MEMORY), Cause.OUT_OF_MEMORY),
        (JobStatus(JobState.FAILED, 10, "Host EC2", Cause.CAPACITY), Cause.CAPACITY),
        (JobStatus(JobState.FAILED, 1, "too long", Cause.TIME_LIMIT), Cause.TIME_LIMIT),
        (JobStatus(JobState.FAILED, 1, "exit code 3"), Cause.STEP),
        (SUCCEEDED, Cause.STEP),  # it has ended its process
    ],
)
def test_a_step_that_was_cut_off_has_the_cause_that_its_service_reports(
    tmp_path: Path, reported: JobStatus, cause: Cause
) -> None:
    stage = Stage(tmp_path, a_plan(a_job("a")))
    stage.backend.reported = {"a": reported}
    stage.write_events("a", StepReport(name="a", state=StepState.RUNNING), attempt=reported.attempt)
    failure = stage.driver().status().steps["a"].failure
    assert failure is not None and failure.cause is cause


def test_a_step_that_a_cancel_has_cut_off_is_cancelled(tmp_path: Path) -> None:
    stage = Stage(tmp_path, a_plan(a_job("a")))
    stage.backend.reported = {"a": RUNNING}
    stage.driver().cancel()
    stage.backend.reported = {"a": JobStatus(JobState.FAILED, 1, "killed", Cause.OUT_OF_MEMORY)}
    step = stage.driver().status().steps["a"]
    assert step.state is StepState.CANCELLED
    assert step.failure is not None and step.failure.cause is Cause.CANCELLED


def test_a_step_that_was_cut_off_ends_when_its_attempt_ended(tmp_path: Path) -> None:
    stage = Stage(tmp_path, a_plan(a_job("a")))
    last = EndedAttempt(repeated_as=2, seconds=4.0)
    stage.backend.reported = {"a": JobStatus(JobState.FAILED, 1, "out of memory", last=last)}
    running = StepReport(name="a", state=StepState.RUNNING, started_at=5.0)
    stage.write_events("a", running, attempt=1)
    assert stage.driver().status().steps["a"].ended_at == 9.0


def test_the_steps_of_a_job_that_never_started_were_not_run(tmp_path: Path) -> None:
    stage = Stage(tmp_path, a_plan(a_job("a"), a_job("b", after=("a",))))
    stage.backend.reported = {"a": JobStatus(JobState.FAILED, 1, "exit code 3")}
    status = stage.driver().status()
    assert [view.state for view in status.jobs] == [JobState.FAILED, JobState.BLOCKED]
    assert status.steps["b"].state is StepState.NOT_RUN


def test_no_step_of_a_cancelled_run_waits(tmp_path: Path) -> None:
    stage = Stage(tmp_path, a_plan(a_job("a", steps=("one", "two")), a_job("b", after=("a",))))
    stage.backend.reported = {"a": RUNNING}
    stage.driver().cancel()
    stage.backend.reported = {"a": JobStatus(JobState.FAILED, 1, "killed")}
    running = StepReport(name="one", state=StepState.RUNNING, started_at=5.0)
    stage.write_events("a", running, StepReport(name="two"), attempt=1)
    status = stage.driver().status()
    states = {name: step.state for name, step in status.steps.items()}
    assert states == {
        "one": StepState.CANCELLED,
        "two": StepState.CANCELLED,
        "b": StepState.NOT_RUN,
    }
    # Its end is unknown, but not later than that of the run.
    assert status.steps["one"].ended_at == status.ended_at


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.FAILED])
def test_a_job_has_the_instance_type_and_price_that_it_reports(
    state: JobState, tmp_path: Path
) -> None:
    larger = InstanceOffer(instance_type="m6i.2xlarge", price_usd_hour=4.0)
    job = a_job("a", price_usd_hour=1.0)
    stage = Stage(tmp_path, a_plan(job).model_copy(update={"startable": {job.target: (larger,)}}))
    stage.backend.reported = {"a": JobStatus(state, 1)}
    (planned,) = stage.driver().status().jobs
    assert (planned.instance_type, planned.ran_on) == (job.instance_type, None)
    stage.write_events("a", StepReport(name="a"), instance_type="m6i.2xlarge")
    (view,) = stage.driver().status().jobs
    assert (view.instance_type, view.ran_on) == ("m6i.2xlarge", larger)
    assert machine_notes(stage.driver().status()) == [
        f"a ran on m6i.2xlarge at $4.00/h instead of {job.instance_type} at $1.00/h"
    ]


def test_a_type_that_the_plan_does_not_know_has_no_price(tmp_path: Path) -> None:
    stage = Stage(tmp_path, a_plan(a_job("a", price_usd_hour=1.0)))
    stage.backend.reported = {"a": RUNNING}
    stage.write_events("a", StepReport(name="a"), instance_type="x9.large")
    (note,) = machine_notes(stage.driver().status())
    assert note.startswith("a ran on x9.large instead of ")


def test_a_child_that_seems_to_end_before_its_parent_is_polled_again(stage: Stage) -> None:
    driver = stage.driver()
    # The parent was polled a moment earlier, in another call.
    stage.backend.reported = {
        "a": RUNNING,
        "b": JobStatus(JobState.FAILED, 0, "Dependent Job failed"),
    }
    assert states(driver) == [JobState.RUNNING, JobState.WAITING, JobState.WAITING]
    stage.commit("a", "failed")
    stage.backend.reported["a"] = JobStatus(JobState.FAILED, 1)
    assert states(driver) == [JobState.FAILED, JobState.BLOCKED, JobState.BLOCKED]


def test_cancel_stops_active_jobs_in_reverse_plan_order(stage: Stage) -> None:
    stage.commit("a")
    stage.backend.reported = {"b": RUNNING, "c": JobStatus(JobState.WAITING)}
    stage.driver().cancel()
    assert stage.backend.cancelled == ["c", "b"]


def test_a_cancelled_job_and_its_descendants_are_reported_as_cancelled(stage: Stage) -> None:
    stage.commit("a")
    stage.backend.reported = {"b": RUNNING, "c": JobStatus(JobState.WAITING)}
    driver = stage.driver()
    driver.cancel()
    # The backend does not report the end of the last job yet.
    stage.backend.reported["b"] = JobStatus(JobState.FAILED, 1, "terminated")
    status = driver.status()
    assert [view.state for view in status.jobs] == [
        JobState.SUCCEEDED,
        JobState.CANCELLED,
        JobState.CANCELLED,
    ]
    assert status.state is RunState.CANCELLED


def test_a_result_committed_before_the_cancel_counts(stage: Stage) -> None:
    driver = stage.driver()
    stage.backend.reported = {"a": RUNNING}
    driver.cancel()
    stage.commit("a")
    stage.backend.reported = {"a": SUCCEEDED}
    assert states(driver) == [JobState.SUCCEEDED, JobState.CANCELLED, JobState.CANCELLED]


def test_jobs_submitted_during_a_concurrent_cancel_are_cancelled(stage: Stage) -> None:
    class CancelledMeanwhile(ScriptedBackend):
        def submit(self, jobs: Sequence[PlannedJob], succeeded: Collection[str]) -> None:
            stage.store.create(stage.layout.cancellation, b"{}")

    stage.backend = CancelledMeanwhile()
    stage.driver().advance()
    assert stage.backend.cancelled == ["a", "b", "c"]


def test_a_client_that_watches_ends_the_jobs_that_a_killed_cancel_has_left(stage: Stage) -> None:
    stage.backend.reported = dict.fromkeys("ab", RUNNING)
    driver = stage.driver()
    driver.advance()
    stage.store.create(stage.layout.cancellation, b"{}")
    driver.status()
    assert stage.backend.cancelled == []
    for _ in range(2):
        driver.advance()
    assert stage.backend.cancelled == ["b", "a"]


def test_a_cancelled_run_starts_nothing(stage: Stage) -> None:
    stage.driver().cancel()
    status = stage.driver().advance()
    assert (status.state, stage.backend.submitted) == (RunState.CANCELLED, [])


def test_a_run_that_has_ended_cannot_be_cancelled(stage: Stage) -> None:
    stage.commit("a", "failed")
    stage.driver().cancel()
    assert stage.driver().status().state is RunState.FAILED
    assert stage.backend.cancelled == []


def test_a_run_with_an_active_job_is_cancelled_without_a_poll(stage: Stage) -> None:
    stage.backend = SampledBackend(active=["b"])
    driver = stage.driver()
    driver.status()
    stage.backend.polls = 0
    stage.commit("a")
    driver.cancel()
    assert (stage.backend.cancelled, stage.backend.polls) == (["c", "b"], 0)


def test_a_run_that_failed_unseen_has_failed_also_after_a_cancel(stage: Stage) -> None:
    lost = JobStatus(JobState.FAILED, 1, "host lost")
    stage.backend = SampledBackend(reported={"a": lost})
    stage.driver().cancel()
    view = stage.driver().status().jobs[0]
    assert (view.state, view.reason) == (JobState.FAILED, "host lost")
    assert (stage.backend.cancelled, stage.backend.ended) == ([], [set()])


def test_the_outcome_has_the_end_time_of_the_last_result(stage: Stage) -> None:
    for job in "abc":
        stage.commit(job)
    assert stage.driver().status().ended_at == 20.0
    outcome = read_outcome(stage.store, stage.record.run_id)
    assert outcome is not None
    assert (outcome.state, outcome.ended_at) == (RunState.SUCCEEDED, 20.0)


def test_without_a_result_the_run_ends_when_a_client_first_sees_it(stage: Stage) -> None:
    stage.commit("a")
    stage.backend.reported = {"b": JobStatus(JobState.FAILED, 1)}
    assert stage.driver().status().ended_at == 100.0


def test_a_job_without_capacity_waits_and_reports_the_reason(
    stage: Stage,
) -> None:
    stage.backend.reported = {"a": JobStatus(JobState.LOST, 0, "the quota leaves no room")}
    driver = stage.driver()
    view = driver.advance().jobs[0]
    assert (view.state, view.reason) == (JobState.WAITING, "the quota leaves no room")
    assert stage.backend.submitted == [(["a", "b", "c"], set())]


def test_the_outcome_has_the_bills_of_the_backend(stage: Stage) -> None:
    stage.backend.bill = {
        "a": Bill(instance_type="ml.m5.large", billed_s=30, ran_s=90, is_spot=True)
    }
    for job in "abc":
        stage.commit(job)
    assert stage.driver().status().bills == stage.backend.bill
    # Later clients read them from the store.
    stage.backend.bill = {}
    assert stage.driver().status().bills["a"].billed_s == 30


BILL = Bill(instance_type="ml.m5.large", billed_s=30, ran_s=30, is_spot=False)


def test_the_outcome_waits_for_bills_and_the_state_does_not(stage: Stage) -> None:
    stage.backend.bill, stage.backend.awaited_bills = {"a": BILL}, {"b"}
    driver = stage.driver()
    assert driver.advance().state is RunState.RUNNING
    for job in "abc":
        stage.commit(job)
    stage.backend.reported = dict.fromkeys("abc", SUCCEEDED)
    status = driver.advance()
    assert (status.state, status.ended_at, driver.awaits_bills) == (RunState.SUCCEEDED, 20.0, True)
    assert (dict(status.bills), status.unbilled) == ({"a": BILL}, ("b",))
    assert read_outcome(stage.store, stage.record.run_id) is None
    assert stage.backend.ended == []  # a driver of the run could still record it
    stage.backend.bill, stage.backend.awaited_bills = {"a": BILL, "b": BILL}, set()
    assert driver.advance().unbilled == ()
    assert not driver.awaits_bills
    assert stage.backend.ended == [{"a", "b", "c"}]
    outcome = read_outcome(stage.store, stage.record.run_id)
    assert outcome is not None
    assert (outcome.bills, outcome.unbilled) == ({"a": BILL, "b": BILL}, ())


def test_a_run_is_waited_for_until_its_bills_are_known(stage: Stage) -> None:
    class EndsJobs(ScriptedBackend):
        def pause(self) -> None:
            self.bill, self.awaited_bills = {"c": BILL}, set()

    stage.backend = EndsJobs(awaited_bills={"c"})
    for job in "abc":
        stage.commit(job)
    seen: list[RunState] = []
    result = Run(stage.driver()).wait(lambda status: seen.append(status.state))
    assert (dict(result.status.bills), result.status.unbilled) == ({"c": BILL}, ())
    assert seen == [RunState.SUCCEEDED] * 2


def test_bills_that_are_not_known_in_time_are_listed_in_the_outcome(stage: Stage) -> None:
    stage.backend.awaited_bills = {"c", "b"}
    stage.commit("a", "failed")
    driver = stage.driver()
    driver.waiting_clock = lambda: stage.now
    driver.advance()
    stage.now += BILLS_WAIT_S - 1
    driver.advance()
    assert driver.awaits_bills
    stage.now += 1
    driver.advance()
    assert not driver.awaits_bills
    outcome = read_outcome(stage.store, stage.record.run_id)
    assert outcome is not None
    assert (outcome.state, outcome.unbilled) == (RunState.FAILED, ("b", "c"))
    assert stage.driver().status().unbilled == ("b", "c")


def test_a_client_that_only_reads_leaves_the_outcome_to_one_that_waits(stage: Stage) -> None:
    stage.backend.awaited_bills = {"c"}
    for job in "abc":
        stage.commit(job)
    for _ in range(2):
        assert stage.driver().status().unbilled == ("c",)
    assert read_outcome(stage.store, stage.record.run_id) is None
    stage.backend.awaited_bills = set()
    assert stage.driver().status().unbilled == ()
    assert read_outcome(stage.store, stage.record.run_id) is not None


def test_a_backend_that_cannot_report_is_an_error(stage: Stage) -> None:
    class Denied(ScriptedBackend):
        def statuses(self) -> Mapping[str, JobStatus]:
            raise AwsRefusedError("denied", "no", "ask")

    stage.backend = Denied()
    with pytest.raises(AwsRefusedError):
        stage.driver().advance()


ONE = a_plan(a_job("a", offers=(InstanceOffer(instance_type="m6i.large", price_usd_hour=0.36),)))
HOSTS_LOST = JobStatus(
    JobState.RUNNING, 3, losses=2, lost=(EndedAttempt(2, 1000), EndedAttempt(3, 500))
)


def test_the_attempts_that_a_job_has_lost_are_counted_while_it_runs(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "store", ONE)
    stage.backend.reported = {"a": HOSTS_LOST}
    status = stage.driver().status()
    assert status.state is RunState.RUNNING
    assert list(status.lost) == ["a"]
    assert status.lost_attempts.cost_usd == pytest.approx(0.15)
    assert str(status.lost_attempts) == "2 attempts lost, $0.15"


def test_lost_attempts_are_recorded_at_the_end_of_the_run(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "store", ONE)
    stage.commit("a", attempt=3)
    stage.backend.reported = {"a": HOSTS_LOST}
    assert stage.driver().status().lost_attempts.count == 2
    stage.backend.reported = {}  # services forget old jobs
    assert stage.driver().status().lost_attempts.count == 2


def test_a_host_that_is_lost_after_the_result_is_no_lost_attempt(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "store", ONE)
    stage.commit("a", attempt=2)
    stage.backend.reported = {"a": HOSTS_LOST}
    assert stage.driver().status().lost_attempts.count == 1


def test_a_run_ends_for_a_client_that_may_not_see_its_jobs(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "store", ONE)
    stage.commit("a", attempt=2)

    def refuse() -> Mapping[str, JobStatus]:
        raise AwsRefusedError("denied", "no permission", "ask")

    stage.backend.statuses = refuse  # type: ignore[method-assign]
    status = stage.driver().status()
    assert (status.state, status.lost) == (RunState.SUCCEEDED, {})


def test_only_the_client_that_records_the_outcome_acts_on_the_end(stage: Stage) -> None:
    ends: list[str] = []
    first, second = stage.driver(), stage.driver()
    first.on_end.append(lambda status: ends.append(f"first {status.state.value}"))
    second.on_end.append(lambda status: ends.append(f"second {status.state.value}"))
    first.status()
    assert ends == []
    for job in ("a", "b", "c"):
        stage.commit(job)
    stage.backend.reported = dict.fromkeys("abc", SUCCEEDED)
    first.advance()
    second.advance()
    first.status()
    assert ends == ["first succeeded"]


def test_what_acts_on_the_end_can_read_the_outcome(stage: Stage) -> None:
    outcomes = []
    driver = stage.driver()
    driver.on_end.append(lambda _: outcomes.append(driver.status().ended_at))
    for job in ("a", "b", "c"):
        stage.commit(job)
    driver.advance()
    assert outcomes == [20.0]
