from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from flowyml_aws.artifacts.content import Content
from flowyml_aws.artifacts.layout import EXPANSION, RunLayout
from flowyml_aws.artifacts.values import save_value
from flowyml_aws.caching.run_keys import RunKeys
from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.core.errors import DamagedArtifactError
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.planning.expansion_facts import CatalogFacts, ExpansionFacts
from flowyml_aws.planning.plan import ExecutionPlan, ReusedStep
from flowyml_aws.planning.stored_plan import StoredPlan
from flowyml_aws.runtime.result import (
    ExpandedOutputs,
    JobResult,
    StepFailure,
    StepReport,
    StepState,
    read_result,
)
from flowyml_aws.runtime.spec import Expanding, StoredObject
from flowyml_aws.runtime.summary import JobSummary
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.expansion import Expansion, outputs_of, read_expansion
from flowyml_aws.submission.expansions import Expansions, ReturnedPipeline
from flowyml_aws.submission.package import write_record
from flowyml_aws.submission.packing import pack_specs
from flowyml_aws.submission.record import (
    ParentRun,
    RunRecord,
    created_at,
    read_record,
    sub_run_id,
)
from flowyml_aws.submission.reports import JobReports
from flowyml_aws.submission.status import (
    ExpansionView,
    JobView,
    RunStatus,
    failures,
    sub_run_notes,
)
from tests.support.plans import a_job, a_plan, a_record, a_spec

RUN = "parent-20261122-150531-3f9a1c"
PLAN = a_plan(a_job("search", backend="local", offers=()), backend="local").model_copy(
    update={"pipeline": "parent", "prices_of": None, "dynamic": {"search": 3}}
)
CHILD = a_plan(a_job("train", backend="local", offers=()), backend="local").model_copy(
    update={"pipeline": "child", "prices_of": None}
)


@dataclass
class ScriptedDriver:
    """A driver whose run has the same status at each poll."""

    record: RunRecord
    plan: ExecutionPlan
    store: DirectoryArtifactStore
    state: JobState = JobState.RUNNING
    awaits_bills: bool = False
    advanced: int = 0
    cancelled: int = 0

    @property
    def reports(self) -> JobReports:
        return JobReports(self.store, self.record.run_id, 1)

    def status(self) -> RunStatus:
        (job,) = self.plan.jobs
        view = JobView(job, self.state, reason="no memory")
        return RunStatus(
            self.record.run_id, "child", "local", 0.0, jobs=(view,), reused=self.plan.reused
        )

    def advance(self) -> RunStatus:
        self.advanced += 1
        return self.status()

    def cancel(self) -> Sequence[str]:
        self.cancelled += 1
        return ["train"]

    def release(self) -> None: ...


class Parent:
    """A run whose step `search` has returned a pipeline with one job."""

    def __init__(
        self, folder: Path, plan: ExecutionPlan = CHILD, run_id: str | None = None
    ) -> None:
        self.store = DirectoryArtifactStore(folder)
        facts = ExpansionFacts(
            rest="local", targets=(), catalog=CatalogFacts.of(load_catalog())
        ).to_json()
        content = Content(facts)
        self.store.upload("payloads/facts", content)
        place = StoredObject(
            key="payloads/facts", sha256=content.sha256, size_bytes=content.size_bytes
        )
        spec = a_spec("search").model_copy(
            update={"run_id": RUN, "expanding": Expanding(facts=place)}
        )
        (pack,) = pack_specs([spec])
        self.store.put(RunLayout(RUN).specs(0), pack.data)
        self.record = write_record(self.store, PLAN, pack.places, RUN, 1.0)
        self.child_id = sub_run_id(RUN, "child", "search", 0)
        self.expansion = Expansion(
            run_id=run_id or self.child_id,
            depth=1,
            outputs={"model": "best"},
            plan=StoredPlan.of(plan),
            specs=(a_spec("train").model_copy(update={"run_id": run_id or self.child_id}),),
            keys=RunKeys(forced=(), steps={}),
        )
        data = self.expansion.to_json()
        self.store.put(RunLayout(RUN).attempt("search", 1, EXPANSION), data)
        report = StepReport(
            name="search", state=StepState.SUCCEEDED, expansion=Content(data).sha256
        )
        self.summary = JobSummary(
            attempt=1, state="succeeded", started_at=1.0, ended_at=2.0, steps=(report,)
        )
        (job,) = PLAN.jobs
        returned = ReturnedPipeline.of(job, self.summary)
        assert returned is not None
        self.returned = returned
        self.drivers: list[ScriptedDriver] = []

    def client(self, state: JobState = JobState.RUNNING) -> Expansions:
        """Return the pipelines of the run as a new client sees them."""

        def drive(record: RunRecord, plan: ExecutionPlan) -> ScriptedDriver:
            self.drivers.append(ScriptedDriver(record, plan, self.store, state))
            return self.drivers[-1]

        return Expansions(self.store, self.record, drive)


@pytest.fixture
def parent(tmp_path: Path) -> Parent:
    return Parent(tmp_path)


def test_nothing_exists_before_a_pipeline_is_started(parent: Parent) -> None:
    client = parent.client()
    assert not client.is_started(parent.returned)
    assert client.look(parent.returned) is None
    assert client.advance(parent.returned) is None
    assert client.cancel([parent.returned]) == []
    assert parent.drivers == []


def test_a_sub_run_names_the_run_that_contains_it(parent: Parent) -> None:
    client = parent.client()
    client.start(parent.returned, 5.0, 1.5, now=7.0)
    assert client.is_started(parent.returned)
    record = read_record(parent.store, parent.child_id)
    assert record.parent == ParentRun(RUN, "search", 1)
    assert record.created_at == 7.0
    view = client.advance(parent.returned)
    assert view is not None
    assert view.run_id == parent.child_id
    assert view.progress == f"its pipeline is run {parent.child_id}"
    assert parent.drivers[0].plan.max_cost_usd == 3.5  # what the run has left


def test_a_second_client_continues_the_run_of_the_first_one(parent: Parent) -> None:
    parent.client().start(parent.returned, None, 0.0, now=7.0)
    second = parent.client()
    second.start(parent.returned, None, 0.0, now=9.0)
    assert read_record(parent.store, parent.child_id).created_at == 7.0
    assert second.cancel([parent.returned]) == ["search/train"]


def test_a_client_continues_after_another_one_has_decided_but_written_nothing(
    parent: Parent,
) -> None:
    first = parent.client()
    first._write = lambda *_: None  # type: ignore[method-assign]  # it was killed there
    first.start(parent.returned, None, 0.0, now=7.0)
    assert first.look(parent.returned) is None
    second = parent.client()
    second.start(parent.returned, None, 0.0, now=9.0)
    assert read_record(parent.store, parent.child_id).created_at == 7.0


def test_the_outputs_of_a_pipeline_that_has_succeeded_are_those_of_the_step(
    tmp_path: Path,
) -> None:
    ref = save_value(DirectoryArtifactStore(tmp_path), "best", 21)
    reused = {"best": ReusedStep(produces=("best",), run_id="earlier", assets={"best": ref})}
    parent = Parent(tmp_path, CHILD.model_copy(update={"reused": reused}))
    client = parent.client(JobState.SUCCEEDED)
    client.start(parent.returned, None, 0.0, now=7.0)
    assert client.outputs(parent.returned) is None
    client.advance(parent.returned)
    outputs = ExpandedOutputs(run_id=parent.child_id, assets={"model": ref})
    assert client.outputs(parent.returned) == parent.client().outputs(parent.returned) == outputs


def test_an_output_whose_step_was_skipped_does_not_exist(parent: Parent) -> None:
    found = outputs_of(parent.expansion, CHILD, {}, {"best": "its condition was false"})
    assert found.skipped == {"model": "its condition was false"}


@pytest.mark.parametrize("what", ["document", "run"])
def test_a_document_that_is_not_the_one_of_the_step_is_refused(tmp_path: Path, what: str) -> None:
    parent = Parent(tmp_path, run_id="other-20261122-150531-000000" if what == "run" else None)
    if what == "document":
        key = RunLayout(RUN).attempt("search", 1, EXPANSION)
        parent.store.put(key, parent.expansion.model_copy(update={"depth": 9}).to_json())
    client = parent.client()
    client.start(parent.returned, None, 0.0, now=7.0)
    view = client.look(parent.returned)
    assert view is not None and view.failure is not None
    expected = "does not contain what" if what == "document" else "is not planned for this run"
    assert expected in view.failure
    assert parent.drivers == []


def test_a_failure_names_the_job_inside_all_pipelines() -> None:
    (job,) = CHILD.jobs
    inner = RunStatus(
        "inner", "i", "local", 0.0, jobs=(JobView(job, JobState.FAILED, reason="oom"),)
    )
    failure = StepFailure(kind="PipelineFailed", message="its pipeline failed")
    report = StepReport(name="train", state=StepState.FAILED, failure=failure)
    outer_view = JobView(job, JobState.FAILED, reason="its pipeline failed", steps=(report,))
    outer = RunStatus(
        "outer",
        "o",
        "local",
        0.0,
        jobs=(outer_view,),
        expansions=(ExpansionView("train", "inner", status=inner),),
    )
    view = ExpansionView("search", "outer", status=outer)
    assert failures(outer)[0].step == "train"
    assert view.failure == "its pipeline, run outer, failed: job search/train/train failed: oom"
    assert sub_run_notes(outer) == ["pipeline of train: run inner, failed, 1 of 1 jobs ended"]


def test_a_result_has_the_outputs_of_its_pipeline_once_they_exist(parent: Parent) -> None:
    result = JobResult(
        run_id=RUN,
        job="search",
        attempt=1,
        state="succeeded",
        started_at=1.0,
        ended_at=2.0,
        steps=parent.summary.steps,
        assets={},
        skipped={},
    )
    layout = RunLayout(RUN)
    parent.store.put(layout.result("search"), result.to_json())
    assert read_result(parent.store, RUN, "search") == result
    assert result.expanding is not None
    ref = save_value(parent.store, "best", 21)
    outputs = ExpandedOutputs(run_id="child", assets={"model": ref}, skipped={"other": "why"})
    parent.store.put(layout.expanded("search"), outputs.to_json())
    merged = read_result(parent.store, RUN, "search")
    assert merged is not None
    assert (merged.assets, merged.skipped) == ({"model": ref}, {"other": "why"})
    assert merged.expanding is None
    assert JobSummary.of(merged) == JobSummary.of(result).with_outputs(outputs)


def test_the_id_of_a_sub_run_has_the_time_of_its_run_and_depends_on_the_step() -> None:
    ids = {sub_run_id(RUN, "child", step, n) for step in ("a", "b") for n in (0, 1)}
    assert len(ids) == 4
    assert {created_at(run_id) for run_id in ids} == {created_at(RUN)}
    assert all(run_id.startswith("child-20261122-150531-") for run_id in ids)


def test_earlier_versions_can_read_the_record_of_a_run_that_is_not_a_sub_run() -> None:
    assert "parent" not in json.loads(a_record(PLAN).to_json())


def test_a_damaged_document_is_an_error_that_names_it(parent: Parent) -> None:
    with pytest.raises(DamagedArtifactError, match=r"attempts/1/expansion\.json"):
        read_expansion(parent.store, RUN, "search", 1, "0" * 64)
