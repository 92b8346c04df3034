"""Held jobs: submitted or skipped after the decisions before them; no backend runs anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.core.arguments import Argument, Arguments
from flowyml_aws.core.branches import Branch
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.runtime.result import (
    NO_ATTEMPT,
    JobResult,
    StepReport,
    StepState,
    read_result,
)
from flowyml_aws.runtime.skips import Skip
from flowyml_aws.runtime.spec import AssetSource, GatheredAsset, JobSpec, StepPart, StepSpec
from flowyml_aws.runtime.summary import JobSummary
from flowyml_aws.submission.backend import JobState, JobStatus
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.gates import Gates, skips_after, waiting_reason
from flowyml_aws.submission.packing import pack_specs
from flowyml_aws.submission.record import RunState, read_outcome
from flowyml_aws.submission.status_sheets import status_sheets
from tests.submission.scripted import ScriptedBackend
from tests.support.plans import a_job, a_plan, a_record, a_spec

NOT_THEN = "'decide' chose 'then', not 'else'"


def a_step(name: str, *needs: str, case: str | None = None, part: StepPart | None = None) -> Any:
    return StepSpec(
        name=name,
        reads=needs,
        arguments=Arguments(tuple(Argument("asset", name) for name in needs)),
        outputs=(name,),
        stored=(name,),
        retry=0,
        retry_delay_s=0,
        timeout_s=None,
        branch=None if case is None else Branch("decide", case),
        part=part,
    )


def spec_of(job: str, *steps: StepSpec, **assets: AssetSource) -> JobSpec:
    return a_spec(job).model_copy(
        update={"run_id": RUN_ID, "steps": steps or (a_step(job),), "assets": assets}
    )


DECIDED = AssetSource(job="g")
"""The decision, made by job g of this run."""
PLAN = a_plan(
    a_job("g", steps=("evaluate", "decide")),
    a_job("deploy", after=["g"], held=("decide",), reads={"decide": "g"}),
    a_job("retrain", after=["g"], held=("decide",), reads={"decide": "g"}),
    a_job("check", after=["retrain"], held=("decide",), reads={"retrain": "retrain"}),
    a_job("report", after=["deploy", "check"]),
)
RUN_ID = a_record(PLAN).run_id
SPECS = (
    spec_of("g", a_step("evaluate"), a_step("decide", "evaluate")),
    spec_of("deploy", a_step("deploy", case="then"), decide=DECIDED),
    spec_of("retrain", a_step("retrain", case="else"), decide=DECIDED),
    spec_of("check", a_step("check", "retrain"), retrain=AssetSource(job="retrain")),
    spec_of("report"),
)


@dataclass
class Stage:
    """A run with a store in a directory and a scripted backend."""

    folder: Path
    plan: ExecutionPlan = PLAN
    specs: Sequence[JobSpec] = SPECS
    backend: ScriptedBackend = field(default_factory=ScriptedBackend)

    def __post_init__(self) -> None:
        self.store = DirectoryArtifactStore(self.folder)
        (pack,) = pack_specs(self.specs)
        self.record = a_record(self.plan).model_copy(update={"specs": dict(pack.places)})
        self.store.create(RunLayout(RUN_ID).specs(0), pack.data)

    def driver(self) -> RunDriver:
        return RunDriver(self.store, self.record, self.plan, self.backend, clock=lambda: 100.0)

    def commit(self, job: str, case: str | None = None, state: str = "succeeded") -> None:
        """Commit the result of an attempt, whose last step has chosen a case."""
        *others, last = next(each.steps for each in self.plan.jobs if each.name == job)
        steps = [StepReport(name=name, state=StepState(state)) for name in others]
        steps.append(StepReport(name=last, state=StepState(state), case=case))
        self.store.create(RunLayout(RUN_ID).result(job), a_result(job, state, *steps).to_json())

    def result(self, job: str, repetition: int = 0) -> JobResult | None:
        return read_result(self.store, RUN_ID, job, repetition)

    @property
    def offered(self) -> list[list[str]]:
        return [jobs for jobs, _ in self.backend.submitted]


def a_result(job: str, state: str, *steps: StepReport, **skipped: str) -> JobResult:
    return JobResult.model_validate(
        {
            "run_id": RUN_ID,
            "job": job,
            "attempt": 1,
            "state": state,
            "started_at": 10.0,
            "ended_at": 20.0,
            "steps": [step.model_dump() for step in steps],
            "assets": {},
            "skipped": skipped,
        }
    )


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path / "store")


def test_held_jobs_are_not_submitted_with_the_others(stage: Stage) -> None:
    stage.driver().start()
    stage.driver().advance()
    assert stage.offered == [["g", "report"], ["g", "report"]]


def test_only_the_branch_that_was_chosen_is_submitted(stage: Stage) -> None:
    stage.commit("g", "then")
    driver = stage.driver()
    status = driver.advance()
    assert stage.backend.submitted == [(["deploy", "report"], {"g", "retrain", "check"})]
    assert [view.state_name for view in status.jobs] == [
        "succeeded",
        "waiting",
        "skipped",
        "skipped",
        "waiting",
    ]
    steps = status.steps
    assert (steps["retrain"].state, steps["retrain"].reason) == (StepState.SKIPPED, NOT_THEN)
    assert steps["check"].reason == f"'retrain' does not exist: {NOT_THEN}"
    (sheet,) = status_sheets(status, 0.0)
    assert ("retrain", "skipped", "", "", "") in sheet.rows
    driver.advance()
    assert stage.offered[1:] == [["deploy", "report"]]


def test_a_skipped_job_has_a_result_without_an_attempt_or_a_cost(stage: Stage) -> None:
    stage.commit("g", "then")
    stage.driver().advance()
    result = stage.result("retrain")
    assert result is not None
    assert (result.state, result.attempt, result.instance_type) == ("succeeded", NO_ATTEMPT, None)
    assert (result.started_at, result.ended_at) == (20.0, 20.0)  # when it was decided
    assert (result.assets, result.skipped) == ({}, {"retrain": NOT_THEN})
    for job in ("deploy", "report"):
        stage.commit(job)
    status = stage.driver().advance()
    assert status.state is RunState.SUCCEEDED
    assert status.counted_usd == pytest.approx(3 * 10 * 0.1 / 3600)  # of three jobs, 10 s each
    outcome = read_outcome(stage.store, RUN_ID)
    assert outcome is not None and outcome.cost_usd == status.counted_usd


def test_another_client_sees_the_skips_without_driving(stage: Stage) -> None:
    stage.commit("g", "then")
    stage.driver().advance()
    views = {view.job.name: view for view in stage.driver().status().jobs}
    assert views["check"].is_skipped and not views["check"].needs_client
    assert (views["check"].location, views["check"].cost_usd) == ("", 0.0)


def test_a_client_that_only_looks_sees_the_skips_of_another(stage: Stage) -> None:
    looking = stage.driver()
    looking.status()
    stage.commit("g", "then")
    stage.backend.reported = {"g": JobStatus(JobState.SUCCEEDED, 1)}
    stage.driver().advance()
    views = {view.job.name: view for view in looking.status().jobs}
    assert views["retrain"].is_skipped and views["check"].is_skipped
    assert views["deploy"].needs_client  # for all it knows


def test_without_a_client_the_jobs_after_a_decision_wait_for_one(stage: Stage) -> None:
    stage.backend.reported = {"g": JobStatus(JobState.RUNNING, 1)}
    before = stage.driver().status()
    reason = "decision 'decide' is not made yet"
    assert [view.reason for view in before.jobs] == [None, *[reason] * 3, None]
    assert not any(view.needs_client for view in before.jobs)
    stage.commit("g", "then")
    stage.backend.reported = {"g": JobStatus(JobState.SUCCEEDED, 1)}
    after = stage.driver().status()
    assert [view.job.name for view in after.jobs if view.needs_client] == ["deploy", "retrain"]
    assert stage.result("retrain") is None and stage.offered == []


def test_a_reason_to_wait_names_the_decisions_of_other_jobs() -> None:
    job = a_job("j", steps=("own", "j"), held=("first", "own", "second"))
    assert waiting_reason(job, {"own", "j"}) is None
    assert waiting_reason(job, {"second", "own"}) == "decision 'second' is not made yet"
    both = "decisions 'first', 'second' are not made yet"
    assert waiting_reason(job, {"first", "second"}) == both


def test_a_decision_that_fails_blocks_its_branches(stage: Stage) -> None:
    stage.commit("g", state="failed")
    status = stage.driver().advance()
    assert {view.state for view in status.jobs[1:]} == {JobState.BLOCKED}
    assert stage.offered == []


def test_a_job_after_both_branches_waits_for_the_one_that_runs(stage: Stage) -> None:
    stage.commit("g", "else")
    status = stage.driver().advance()
    assert stage.offered == [["retrain", "report"]]
    assert status.jobs[1].is_skipped
    stage.commit("retrain")
    stage.driver().advance()
    assert stage.offered[1:] == [["check", "report"]]


def test_two_clients_decide_the_same(stage: Stage) -> None:
    stage.commit("g", "then")
    first, second = stage.driver(), stage.driver()
    assert second.status().jobs[2].state is JobState.WAITING
    first.advance()
    result = stage.result("retrain")
    assert second.advance().jobs[2].is_skipped
    assert stage.result("retrain") == result


def test_the_first_result_counts(stage: Stage) -> None:
    stage.commit("retrain")
    job = PLAN.jobs[2]
    assert Gates(stage.store, stage.record).skip([job], {"g": a_summary("then")}) == [job]
    result = stage.result("retrain")
    assert result is not None and result.attempt == 1


def test_a_cancelled_run_skips_nothing(stage: Stage) -> None:
    stage.commit("g", "then")
    stage.driver().cancel()
    status = stage.driver().advance()
    assert {view.state for view in status.jobs[1:]} == {JobState.CANCELLED}
    assert stage.result("retrain") is None


def test_a_decision_of_an_earlier_run_is_used_at_once(tmp_path: Path) -> None:
    known = AssetSource(case="then")
    plan = a_plan(
        a_job("deploy", held=("decide",), reads={"decide": None}),
        a_job("retrain", held=("decide",), reads={"decide": None}),
    )
    specs = (
        spec_of("deploy", a_step("deploy", case="then"), decide=known),
        spec_of("retrain", a_step("retrain", case="else"), decide=known),
    )
    stage = Stage(tmp_path, plan, specs)
    stage.driver().start()
    assert stage.offered == [["deploy"]]
    assert stage.driver().status().jobs[1].is_skipped


def test_a_run_whose_jobs_are_all_skipped_has_ended_when_it_starts(tmp_path: Path) -> None:
    plan = a_plan(a_job("retrain", held=("decide",), reads={"decide": None}))
    spec = spec_of("retrain", a_step("retrain", case="else"), decide=AssetSource(case="then"))
    stage = Stage(tmp_path, plan, [spec])
    stage.driver().start()
    outcome = read_outcome(stage.store, RUN_ID)
    assert outcome is not None and outcome.state is RunState.SUCCEEDED
    assert stage.offered == []


def test_a_job_that_is_executed_again_passes_its_gate_again(stage: Stage) -> None:
    gates = Gates(stage.store, stage.record)
    job = PLAN.jobs[2]
    assert gates.skip([job], {"g": a_summary("else")}) == []
    assert gates.closed([job]) == []
    again = job.model_copy(update={"repetitions": {"g": 1, "retrain": 1}})
    assert gates.closed([again]) == [again]
    assert gates.skip([again], {"g": a_summary("then")}) == [again]
    assert stage.result("retrain") is None
    assert stage.result("retrain", repetition=1) is not None


def a_summary(case: str | None = None, **skipped: str) -> JobSummary:
    step = StepReport(name="decide", state=StepState.SUCCEEDED, case=case)
    return JobSummary.of(a_result("g", "succeeded", step, **skipped))


OTHER = AssetSource(job="other")
ITEMS = {"x[0]": OTHER, "x[1]": OTHER}
PART = StepPart(number=0, count=2, lists={"rows": "rows"})


@pytest.mark.parametrize(
    ("spec", "skipped", "reasons"),
    [
        (spec_of("j", a_step("a", case="then"), decide=DECIDED), {}, None),
        (
            spec_of("j", a_step("a", case="else"), a_step("b", "a"), decide=DECIDED),
            {},
            {"a": NOT_THEN, "b": f"'a' does not exist: {NOT_THEN}"},
        ),
        (spec_of("j", a_step("a", case="else"), a_step("b"), decide=DECIDED), {}, None),
        (spec_of("j", a_step("a", "x"), x=OTHER), {"x": "why"}, {"a": "'x' does not exist: why"}),
        (
            spec_of("j", a_step("a", "x"), x=AssetSource(absent="early")),
            {},
            {"a": "'x' does not exist: early"},
        ),
        (
            spec_of("j", a_step("a", case="then"), decide=OTHER),
            {"decide": "why"},
            {"a": "'decide' does not exist: why"},
        ),
        (
            spec_of("j", a_step("a", case="else", part=PART), rows=OTHER, decide=DECIDED),
            {},
            {"a": NOT_THEN},
        ),
    ],
    ids=["chosen", "not chosen", "one step runs", "absent", "absent before", "no decision", "part"],
)
def test_a_job_is_skipped_if_all_its_steps_are(
    spec: JobSpec, skipped: Mapping[str, str], reasons: Mapping[str, str] | None
) -> None:
    found = skips_after(spec, {"g": a_summary("then"), "other": a_summary(**skipped)})
    assert reasons_of(found) == reasons


@pytest.mark.parametrize("skipped", [{"x[0]": "why", "x[1]": "why"}, {"x[0]": "why"}])
def test_a_list_does_not_exist_if_none_of_its_items_does(skipped: Mapping[str, str]) -> None:
    spec = spec_of("j", a_step("a", "x"), **ITEMS).model_copy(
        update={"gathered": {"x": GatheredAsset(items=("x[0]", "x[1]"))}}
    )
    expected = {"a": "'x' does not exist: why"} if len(skipped) == 2 else None
    assert reasons_of(skips_after(spec, {"other": a_summary(**skipped)})) == expected


def reasons_of(skips: Mapping[str, Skip] | None) -> dict[str, str] | None:
    return None if skips is None else {step: skip.reason for step, skip in skips.items()}
