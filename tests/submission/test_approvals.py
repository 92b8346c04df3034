"""Approvals of a run: when someone is asked, and what the answer changes; no backend runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.client.approvals import answer_approval
from flowyml_aws.core.errors import ApprovalError
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.planning.plan import ExecutionPlan, PlannedApproval
from flowyml_aws.runtime.result import JobResult
from flowyml_aws.submission.approvals import (
    Answer,
    ApprovalState,
    ApprovalView,
    approval_notes,
    waited_s,
)
from flowyml_aws.submission.backend import JobState, JobStatus
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.record import RunState
from flowyml_aws.submission.status import RunStatus, client_warning
from tests.submission.scripted import ScriptedBackend
from tests.support.plans import a_job, a_plan, a_record

DAY_S = 86400.0
RELEASE = PlannedApproval(after=("train",), inputs=("model",), timeout_s=DAY_S, approver="ml-team")
PLAN = a_plan(
    a_job("train"),
    a_job("plot", after=["train"]),
    a_job("deploy", after=["train"], approvals=("release",)),
    a_job("announce", after=["deploy"]),
).model_copy(update={"approvals": {"release": RELEASE}})
RUN_ID = a_record(PLAN).run_id
LAYOUT = RunLayout(RUN_ID)


@dataclass
class Stage:
    """A run with a store in a directory, a scripted backend, and several clients."""

    folder: Path
    plan: ExecutionPlan = PLAN
    backend: ScriptedBackend = field(default_factory=ScriptedBackend)

    def __post_init__(self) -> None:
        self.store = DirectoryArtifactStore(self.folder)
        self.record = a_record(self.plan)
        self.store.create(LAYOUT.run, self.record.to_json())

    def driver(self) -> RunDriver:
        return RunDriver(self.store, self.record, self.plan, self.backend, clock=lambda: 100.0)

    def commit(self, *jobs: str, state: str = "succeeded", case: str | None = None) -> None:
        for job in jobs:
            result = JobResult.model_validate(
                {
                    "run_id": RUN_ID,
                    "job": job,
                    "attempt": 1,
                    "state": state,
                    "started_at": 10.0,
                    "ended_at": 20.0,
                    "steps": [{"name": "auto:release", "state": "succeeded", "case": case}]
                    if case
                    else [],
                    "assets": {},
                    "skipped": {},
                }
            )
            self.store.create(LAYOUT.result(job), result.to_json())

    def make_older(self, key: str, seconds: float) -> None:
        path = self.folder / key
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - seconds))

    @property
    def offered(self) -> list[list[str]]:
        return [jobs for jobs, _ in self.backend.submitted]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path / "store")


def answer(driver: RunDriver, name: str | None = None, *, reject: bool = False) -> RunStatus:
    return answer_approval(driver, name, "rejected" if reject else "approved", "why not", "ann")


def release_of(status: RunStatus) -> ApprovalView:
    (view,) = (view for view in status.approvals if view.name == "release")
    return view


def states(status: RunStatus) -> dict[str, JobState]:
    return {view.job.name: view.state for view in status.jobs}


def test_a_job_is_submitted_once_its_approval_is_given(stage: Stage) -> None:
    driver = stage.driver()
    driver.start()
    assert "deploy" not in stage.offered[0]
    stage.commit("train", "plot")
    driver.advance()
    assert all("deploy" not in jobs for jobs in stage.offered)
    answer(stage.driver())
    assert stage.offered[-1] == ["deploy", "announce"]
    driver.advance()  # the client that waits
    assert stage.offered[-1] == ["deploy", "announce"]


def test_nobody_is_asked_before_the_jobs_before_it_have_succeeded(stage: Stage) -> None:
    view = release_of(stage.driver().status())
    assert (view.state, view.waits_s) == (ApprovalState.NOT_REACHED, None)
    with pytest.raises(ApprovalError) as caught:
        answer(stage.driver(), "release")
    assert "'release' is not reached" in str(caught.value)
    with pytest.raises(ApprovalError, match="No approval of run"):
        answer(stage.driver())


def test_a_run_waits_for_an_approval_if_nothing_else_can_happen(stage: Stage) -> None:
    stage.commit("train")
    stage.backend.reported["plot"] = JobStatus(JobState.RUNNING, 1)
    status = stage.driver().status()
    assert release_of(status).state is ApprovalState.WAITING
    assert not status.waits_for_approval
    stage.commit("plot")
    stage.backend.reported["plot"] = JobStatus(JobState.SUCCEEDED, 1)
    status = stage.driver().status()
    assert (status.state, status.state_text) == (RunState.RUNNING, "waiting for approval")
    assert client_warning(status) is None
    reasons = {view.job.name: view.reason for view in status.jobs}
    assert reasons["deploy"] == "approval 'release' has no answer"


def test_a_job_that_is_approved_needs_a_client_until_it_is_submitted(stage: Stage) -> None:
    stage.commit("train", "plot")
    stage.backend.reported = {"deploy": JobStatus(JobState.LOST)}
    driver = stage.driver()
    answer(driver)
    assert (client_warning(driver.status()) or "").startswith("warning: deploy can continue")


def test_the_jobs_after_a_rejected_approval_do_not_run(stage: Stage) -> None:
    stage.commit("train")
    stage.backend.reported["plot"] = JobStatus(JobState.RUNNING, 1)
    status = answer(stage.driver(), reject=True)
    assert status.state is RunState.RUNNING  # the other branch continues
    assert states(status)["deploy"] is JobState.BLOCKED
    assert states(status)["announce"] is JobState.BLOCKED
    reasons = {view.job.name: view.reason for view in status.jobs}
    assert reasons["deploy"] == "approval 'release' was rejected by ann: why not"
    stage.commit("plot")
    stage.backend.reported["plot"] = JobStatus(JobState.SUCCEEDED, 1)
    driver = stage.driver()
    assert driver.advance().state is RunState.FAILED
    assert all("deploy" not in jobs for jobs in stage.offered)
    later = stage.driver().status()  # of another client
    assert release_of(later).state is ApprovalState.REJECTED
    assert states(later)["deploy"] is JobState.BLOCKED


def test_the_first_answer_counts(stage: Stage) -> None:
    stage.commit("train", "plot")
    slow = stage.driver()
    slow.status()
    answer(stage.driver())
    for driver in (slow, stage.driver()):
        with pytest.raises(ApprovalError) as caught:
            answer(driver, "release", reject=True)
        assert "was approved by ann: why not" in str(caught.value)
    assert release_of(stage.driver().status()).state is ApprovalState.APPROVED


def test_an_answer_that_comes_between_two_reads_is_reported(stage: Stage) -> None:
    stage.commit("train", "plot")
    driver = stage.driver()
    first = driver.answers.answer
    other = stage.driver()

    def late(*arguments: object) -> object:
        answer(other)
        return first(*arguments)  # type: ignore[arg-type]

    driver.answers.answer = late  # type: ignore[assignment,method-assign]
    with pytest.raises(ApprovalError) as caught:
        answer(driver, reject=True)
    assert "was approved by ann" in str(caught.value)


def test_an_approval_times_out_by_the_clock_of_the_store(stage: Stage) -> None:
    stage.commit("train", "plot")
    stage.make_older(LAYOUT.result("train"), DAY_S - 60)
    view = release_of(stage.driver().status())
    assert view.state is ApprovalState.WAITING
    assert view.left_s == pytest.approx(60, abs=30)
    stage.make_older(LAYOUT.result("train"), 90)
    status = stage.driver().status()
    assert release_of(status).state is ApprovalState.TIMED_OUT
    assert status.state is RunState.FAILED
    reasons = {view.job.name: view.reason for view in status.jobs}
    assert reasons["deploy"] == "approval 'release' timed out: no one answered within 24 h 00 min"
    with pytest.raises(ApprovalError) as caught:
        answer(stage.driver(), "release")
    assert "timed out: no one answered" in str(caught.value)


def test_nobody_is_asked_if_the_jobs_before_it_fail(stage: Stage) -> None:
    stage.commit("train", state="failed")
    status = stage.driver().advance()
    assert release_of(status).state is ApprovalState.NOT_NEEDED
    assert states(status)["deploy"] is JobState.BLOCKED
    assert approval_notes(status.approvals, RUN_ID) == []


def test_a_run_that_waits_can_be_cancelled(stage: Stage) -> None:
    stage.commit("train", "plot")
    stage.driver().cancel()
    stage.make_older(LAYOUT.result("train"), 2 * DAY_S)  # it does not time out any more
    for _ in range(2):
        status = stage.driver().advance()
        assert status.state is RunState.CANCELLED
        assert release_of(status).state is ApprovalState.NOT_NEEDED
    with pytest.raises(ApprovalError) as caught:
        answer(stage.driver(), "release")
    assert "the run has ended: cancelled" in str(caught.value)


def test_an_approval_after_another_one_is_asked_after_it(stage: Stage) -> None:
    final = PlannedApproval(after=("train",), approvals=("release",), timeout_s=DAY_S)
    deploy = a_job("deploy", after=["train"], approvals=("go live",))
    plan = a_plan(a_job("train"), deploy).model_copy(
        update={"approvals": {"release": RELEASE, "go live": final}}
    )
    stage.plan, stage.record = plan, a_record(plan)
    stage.commit("train")
    stage.make_older(LAYOUT.result("train"), DAY_S / 2)
    first, second = stage.driver().status().approvals
    assert (first.state, second.state) == (ApprovalState.WAITING, ApprovalState.NOT_REACHED)
    assert first.jobs == ("deploy",)
    first, second = answer(stage.driver()).approvals
    assert (first.state, second.state) == (ApprovalState.APPROVED, ApprovalState.WAITING)
    assert second.left_s == pytest.approx(DAY_S, abs=60)  # from the first answer on
    assert second.command(RUN_ID) == f"flowyml-aws approve {RUN_ID} 'go live'"
    answer(stage.driver())
    assert stage.offered[-1] == ["deploy"]


def test_an_approval_of_a_branch_is_asked_after_the_decision(stage: Stage) -> None:
    deploy = a_job("deploy", after=["train", "decide"], approvals=("release",), held=("decide",))
    plan = a_plan(a_job("train"), a_job("decide"), deploy).model_copy(
        update={"approvals": {"release": RELEASE}}
    )
    stage.plan, stage.record = plan, a_record(plan)
    stage.commit("train")
    assert release_of(stage.driver().status()).state is ApprovalState.NOT_REACHED
    stage.commit("decide")
    assert release_of(stage.driver().status()).state is ApprovalState.WAITING


def test_an_approval_of_reused_values_is_asked_from_the_start(stage: Stage) -> None:
    early = RELEASE.model_copy(update={"after": ()})
    plan = a_plan(a_job("deploy", approvals=("release",))).model_copy(
        update={"approvals": {"release": early}}
    )
    stage.plan, stage.record = plan, a_record(plan)
    driver = stage.driver()
    driver.start()
    assert stage.offered == []
    assert driver.status().waits_for_approval


@pytest.mark.parametrize(("case", "is_asked"), [("then", False), ("else", True)])
def test_no_one_is_asked_if_the_condition_holds(stage: Stage, case: str, is_asked: bool) -> None:
    train, *others = PLAN.jobs
    train = train.model_copy(update={"steps": ("train", "auto:release")})
    release = RELEASE.model_copy(update={"decision": "auto:release"})
    plan = PLAN.model_copy(update={"jobs": (train, *others), "approvals": {"release": release}})
    stage.plan, stage.record = plan, a_record(plan)
    stage.commit("train", case=case)
    status = stage.driver().advance()
    assert (release_of(status).state is ApprovalState.WAITING) is is_asked
    assert ("deploy" in stage.offered[-1]) is not is_asked
    if not is_asked:
        assert str(release_of(status).answer) == "approved by auto_approve_if"
        with pytest.raises(ApprovalError, match="it was approved by auto_approve_if"):
            answer(stage.driver(), "release")


@pytest.mark.parametrize(
    ("name", "message"),
    [("releases", "did you mean 'release'?"), ("deploy", "its approvals are release")],
)
def test_an_unknown_approval_is_an_error(stage: Stage, name: str, message: str) -> None:
    with pytest.raises(ApprovalError) as caught:
        answer(stage.driver(), name)
    assert message in str(caught.value)


def test_several_approvals_must_be_named(stage: Stage) -> None:
    jobs = [a_job(name, after=["train"], approvals=(name,)) for name in ("one", "two")]
    plan = a_plan(a_job("train"), *jobs).model_copy(
        update={"approvals": {"one": RELEASE, "two": RELEASE}}
    )
    stage.plan, stage.record = plan, a_record(plan)
    stage.commit("train")
    with pytest.raises(ApprovalError) as caught:
        answer(stage.driver())
    assert "they are 'one', 'two'" in str(caught.value)
    answer(stage.driver(), "two")
    assert stage.offered[-1] == ["two"]


def test_a_run_without_approvals_has_none_to_answer(stage: Stage) -> None:
    plan = a_plan(a_job("train"))
    stage.plan, stage.record = plan, a_record(plan)
    with pytest.raises(ApprovalError) as caught:
        answer(stage.driver())
    assert "waits for no approval" in str(caught.value)


@pytest.mark.parametrize("name", ["../../x", "a/b", "é" * 300, ".."])
def test_a_name_never_becomes_a_path(name: str) -> None:
    key = LAYOUT.approval(name)
    assert key.startswith(f"{LAYOUT.prefix}approvals/")
    assert len(key.removeprefix(f"{LAYOUT.prefix}approvals/")) == len("0" * 16 + ".json")


def test_a_run_ends_when_its_approval_is_refused(stage: Stage) -> None:
    stage.commit("train", "plot")
    assert answer(stage.driver(), reject=True).ended_at == 100.0  # by the clock of the driver


@pytest.mark.parametrize(
    ("answered_at", "jobs", "waited"),
    [
        ([50.0], [(10.0, 20.0)], 30.0),
        ([50.0, 60.0], [(10.0, 20.0)], 40.0),
        ([15.0], [(10.0, 20.0)], 0.0),
        ([50.0, 95.0], [(10.0, 20.0), (55.0, 60.0)], 65.0),
    ],
    ids=["one answer", "two answers", "while a job runs", "before and after a job"],
)
def test_the_time_of_waiting_is_without_the_time_of_jobs(
    answered_at: list[float], jobs: list[tuple[float, float]], waited: float
) -> None:
    views = [
        ApprovalView(
            "release",
            RELEASE,
            ApprovalState.APPROVED,
            (),
            answer=Answer(approval="release", answer="approved", answered_at=at),
        )
        for at in answered_at
    ]
    assert waited_s(views, jobs) == waited


def test_notes_show_the_command_and_then_the_answer(stage: Stage) -> None:
    stage.commit("train", "plot")
    (note,) = approval_notes(stage.driver().status().approvals, RUN_ID)
    assert note.startswith("approval release: waiting for an answer by ml-team, ")
    assert note.endswith(f"left: `flowyml-aws approve {RUN_ID} release`")
    notes: Sequence[str] = approval_notes(answer(stage.driver()).approvals, RUN_ID)
    assert notes == ["approval release: approved by ann: why not"]
