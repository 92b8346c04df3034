from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from flowyml_aws.planning.plan import PlannedApproval, PlannedMap
from flowyml_aws.runtime.result import StepFailure, StepReport, StepState
from flowyml_aws.submission.approvals import ApprovalState, ApprovalView, approval_notes
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.losses import LostAttempts
from flowyml_aws.submission.map_failures import described_failures
from flowyml_aws.submission.status import ExpansionView, JobView, RunStatus
from flowyml_aws.submission.status_sheets import status_sheets
from flowyml_aws.submission.whole_status import with_sub_runs
from tests.support.plans import a_job


def a_view(name: str, state: JobState, *reports: StepReport, **changes: Any) -> JobView:
    return JobView(a_job(name, **changes), state, 1, steps=reports)


def a_status(run_id: str, *views: JobView, **facts: Any) -> RunStatus:
    return RunStatus(run_id, "pipeline", "batch", 0.0, views, **facts)


def containing(step: str, inner: RunStatus, *views: JobView) -> RunStatus:
    return a_status("outer", *views, expansions=(ExpansionView(step, inner.run_id, None, inner),))


def test_the_jobs_of_a_sub_run_follow_the_job_of_its_step_with_the_path_of_the_step() -> None:
    again = a_status("polish", a_view("again", JobState.RUNNING))
    inner = containing(
        "refine", again, a_view("train", JobState.SUCCEEDED), a_view("refine", JobState.RUNNING)
    )
    names = ("configure", "search", "report")
    outer = containing("search", inner, *(a_view(name, JobState.RUNNING) for name in names))
    whole = with_sub_runs(outer)
    assert [view.job.name for view in whole.jobs] == [
        *("configure", "search"),
        *("search/train", "search/refine", "search/refine/again"),
        "report",
    ]
    assert list(whole.steps) == [view.job.name for view in whole.jobs]


def test_the_job_of_a_group_is_followed_by_the_sub_run_of_its_step() -> None:
    job = a_view("group", JobState.RUNNING, steps=("load", "search"))
    whole = with_sub_runs(containing("search", a_status("s", a_view("a", JobState.RUNNING)), job))
    assert [view.job.name for view in whole.jobs] == ["group", "search/a"]


def test_a_status_without_sub_runs_is_unchanged() -> None:
    refused = ExpansionView("search", "outer", "it costs too much")
    status = a_status("outer", a_view("search", JobState.FAILED), expansions=(refused,))
    assert with_sub_runs(status) is status


def test_maps_lost_attempts_and_order_keep_their_meaning() -> None:
    items = tuple(
        a_view(f"train-{n}", JobState.SUCCEEDED, steps=(f"train[{n}]",), mapped=("train",))
        for n in range(2)
    )
    planned = PlannedMap(
        items=2,
        outputs=("score",),
        items_per_job=1,
        reason="",
        on_item_failure="stop",
        min_success=1.0,
    )
    lost = LostAttempts(count=1, cost_usd=0.5)
    join = a_view("join", JobState.WAITING, after=("train-0", "train-1"))
    inner = a_status("inner", *items, join, maps={"train": planned}, lost={"train-1": lost})
    whole = with_sub_runs(containing("search", inner, a_view("search", JobState.RUNNING)))
    assert whole.progress["search/train"].total == 2
    assert whole.lost == {"search/train-1": lost}
    assert whole.jobs[-1].job.after == ("search/train-0", "search/train-1")


def test_the_cost_of_a_run_contains_that_of_a_sub_run_once() -> None:
    inner = a_status("inner", a_view("train", JobState.RUNNING), counted_usd=2.0)
    outer = containing("search", inner, a_view("search", JobState.RUNNING))
    whole = with_sub_runs(replace(outer, counted_usd=3.0))
    assert whole.counted_usd == 3.0
    assert with_sub_runs(whole) is whole


def test_a_traceback_in_a_sub_run_is_shown_once() -> None:
    failure = StepFailure(kind="ValueError", message="no rows", traceback="Traceback …\n")
    report = StepReport(name="train", state=StepState.FAILED, failure=failure)
    inner = a_status("inner", a_view("train", JobState.FAILED, report))
    outer_report = report.model_copy(update={"name": "search"})
    outer = containing("search", inner, a_view("search", JobState.FAILED, outer_report))
    found = described_failures(with_sub_runs(outer))
    assert [(each.log, each.tracebacks) for each in found] == [
        ("search", ()),
        ("search/train", ("Traceback …\n",)),
    ]


def test_the_table_of_a_notebook_has_a_row_for_each_job_of_a_sub_run() -> None:
    inner = a_status("inner", a_view("train", JobState.RUNNING))
    outer = containing("search", inner, a_view("search", JobState.RUNNING))
    (sheet,) = status_sheets(outer, now=1.0)
    assert [row[0] for row in sheet.rows] == [
        *("search", "└ search"),
        *("search/train", "└ search/train"),
    ]
    assert "pipeline of search: run inner, running, 0 of 1 jobs ended" in sheet.lines


@pytest.mark.parametrize("depth", [1, 2])
def test_an_approval_in_a_sub_run_names_the_run_that_asks(depth: int) -> None:
    planned = PlannedApproval(after=(), timeout_s=60.0)
    asked = ApprovalView("release", planned, ApprovalState.WAITING, ("deploy",), waits_s=0.0)
    status = a_status("inner", a_view("deploy", JobState.WAITING), approvals=(asked,))
    for _ in range(depth):
        status = containing("search", status, a_view("search", JobState.RUNNING))
    whole = with_sub_runs(status)
    (note,) = approval_notes(whole.approvals, whole.run_id)
    assert "`flowyml-aws approve inner release`" in note
    assert whole.approvals[0].jobs == ("search/" * depth + "deploy",)
