from __future__ import annotations

from dataclasses import replace

import pytest

from flowyml_aws.planning.plan import InstanceOffer, ReusedStep
from flowyml_aws.runtime.result import StepReport, StepState
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.map_failures import described_failures
from flowyml_aws.submission.map_progress import cause_of
from flowyml_aws.submission.map_rows import MapRow, reused_rows, status_rows
from flowyml_aws.submission.record import RunState
from flowyml_aws.submission.status import RunStatus, item_notes, machine_notes, missing_items
from flowyml_aws.submission.status_sheets import status_sheets
from tests.support.maps import FAILURE, a_view, run_of_items, run_of_parts
from tests.support.plans import a_job

OK, BAD, WAITING, RUNNING = (
    StepState.SUCCEEDED,
    StepState.FAILED,
    StepState.WAITING,
    StepState.RUNNING,
)


def text_of(status: RunStatus) -> str:
    return status.progress["train"].text


@pytest.mark.parametrize(
    ("states", "text"),
    [
        ([OK] * 3, "3 of 3 items succeeded"),
        ([OK, BAD, OK], "2 of 3 items succeeded, 1 failed"),
        ([OK, BAD, RUNNING, WAITING], "1 of 4 items succeeded, 1 failed, 1 running, 1 waiting"),
        ([OK], "1 of 1 item succeeded"),
    ],
)
def test_the_items_of_a_map_are_counted_by_state(states: list[StepState], text: str) -> None:
    assert text_of(run_of_items(states, jobs=JobState.RUNNING)) == text


def test_reused_items_are_counted_as_cached() -> None:
    status = run_of_items([OK, OK], reused=9998)
    assert text_of(status) == "2 of 10,000 items succeeded, 9,998 cached"


def test_running_jobs_of_a_map_are_counted() -> None:
    progress = run_of_items([RUNNING] * 4, jobs=JobState.RUNNING, per_job=2).progress["train"]
    assert progress.jobs_text == "2 of 2 jobs running"
    assert run_of_items([OK]).progress["train"].jobs_text == ""


def test_a_run_without_maps_has_no_progress() -> None:
    status = RunStatus("r", "p", "local", 0.0, (a_view(a_job("x"), JobState.SUCCEEDED, [OK]),))
    assert status.progress == {} and item_notes(status) == []


def test_items_that_failed_in_a_job_that_succeeded_are_dropped() -> None:
    status = run_of_items([OK, OK, BAD, BAD], on_item_failure="drop")
    assert [item.report.name for item in status.progress["train"].dropped] == [
        "train[2]",
        "train[3]",
    ]
    assert item_notes(status) == [
        "2 of 4 items of train were dropped (train[2] and 1 more: ValueError: no rows)"
    ]


def test_one_dropped_item_is_a_sentence_in_the_singular() -> None:
    (note,) = item_notes(run_of_items([OK, BAD], on_item_failure="drop"))
    assert note == "1 of 2 items of train was dropped (train[1]: ValueError: no rows)"


def test_items_that_failed_for_the_same_reason_are_counted() -> None:
    (note,) = item_notes(run_of_items([BAD] * 7 + [OK], on_item_failure="drop"))
    assert note.endswith("(train[0] and 6 more: ValueError: no rows)")


def test_items_of_a_failed_job_are_not_dropped() -> None:
    status = run_of_items([OK, BAD], jobs=JobState.FAILED, per_job=2, on_item_failure="drop")
    assert not status.progress["train"].dropped and item_notes(status) == []


@pytest.mark.parametrize(
    ("succeeded", "min_success", "state"),
    [
        (9, 0.9, RunState.SUCCEEDED),
        (8, 0.9, RunState.FAILED),
        (1, 0.0, RunState.SUCCEEDED),
        (0, 0.0, RunState.FAILED),
    ],
)
def test_a_run_fails_if_too_few_items_succeeded(
    succeeded: int, min_success: float, state: RunState
) -> None:
    states = [OK] * succeeded + [BAD] * (10 - succeeded)
    status = run_of_items(states, on_item_failure="drop", min_success=min_success)
    assert status.state is state
    assert bool(missing_items(status)) is (state is RunState.FAILED)


def test_a_run_without_enough_items_is_running_until_its_jobs_have_ended() -> None:
    last = a_view(a_job("last"), JobState.RUNNING, [RUNNING])
    status = run_of_items([BAD, BAD], on_item_failure="drop", others=[last])
    assert status.state is RunState.RUNNING


def test_skipped_items_do_not_count_as_dropped() -> None:
    states = [OK, StepState.SKIPPED]
    status = run_of_items(states, on_item_failure="drop", min_success=1.0)
    assert status.state is RunState.SUCCEEDED


def test_items_that_an_earlier_run_dropped_are_still_dropped() -> None:
    dropped = ReusedStep(
        produces=("model[0]",), run_id="r-0", dropped={"model[0]": "step 'train[0]' failed"}
    )
    status = run_of_items([OK], reused=1, on_item_failure="drop", min_success=1.0)
    status = replace(status, reused={"train[0]": dropped})
    assert status.state is RunState.FAILED
    (note,) = item_notes(status)
    assert note.endswith("(train[0]: dropped in run r-0: step 'train[0]' failed)")


def test_an_item_after_one_that_an_earlier_run_dropped_was_not_run() -> None:
    after = ReusedStep(
        produces=("model[0]",), run_id="r-0", dropped={"model[0]": "step 'load[0]' failed"}
    )
    status = run_of_items([OK], reused=1, on_item_failure="drop")
    status = replace(status, reused={"train[0]": after})
    progress = status.progress["train"]
    assert (len(progress.dropped), progress.failed) == (1, [])
    assert status.steps["train[0]"].reason == "dropped in run r-0: step 'load[0]' failed"


def test_the_missing_items_are_a_failure_with_its_traceback() -> None:
    status = run_of_items([OK, BAD, BAD], on_item_failure="drop", min_success=0.6)
    (failure,) = described_failures(status)
    assert failure.headline == ("train failed: 1 of 3 items succeeded, and at least 2 must")
    assert (failure.tracebacks, failure.log, failure.status) == (
        (FAILURE.traceback,),
        "train[1]",
        "train",
    )


def test_all_failed_items_of_a_map_are_one_failure() -> None:
    status = run_of_items([BAD] * 7, jobs=JobState.FAILED)
    (failure,) = described_failures(status)
    assert failure.headline == "7 of 7 items of train failed"
    assert failure.details[0] == "train[0]: ValueError: no rows"
    assert failure.details[5:] == ("and 2 more",)
    assert failure.tracebacks == (FAILURE.traceback,)


def test_the_failure_of_a_job_that_is_not_of_a_map_comes_first() -> None:
    other = a_view(a_job("publish"), JobState.FAILED, [BAD])
    status = run_of_items([BAD], jobs=JobState.FAILED, others=[other])
    assert [failure.log for failure in described_failures(status)] == ["publish", "train[0]"]


def test_all_jobs_of_a_map_are_one_row() -> None:
    other = a_view(a_job("best"), JobState.WAITING, [WAITING])
    status = run_of_items([OK] * 4, per_job=2, others=[other])
    row, last = status_rows(status)
    assert isinstance(row, MapRow) and not isinstance(last, MapRow)
    assert (row.title, row.state_text, row.attempts, row.place) == (
        "train ×2",
        "succeeded",
        "1",
        "m6i.large (cpu)",
    )


def test_a_row_counts_the_jobs_in_each_state_worst_first() -> None:
    done, failed = run_of_items([OK]), run_of_items([BAD], jobs=JobState.FAILED, reused=1)
    status = replace(done, jobs=(*done.jobs, *failed.jobs))
    (row,) = status_rows(status)
    assert isinstance(row, MapRow)
    assert (row.state, row.state_text) == (JobState.FAILED, "1 failed, 1 succeeded")


def test_a_map_without_jobs_is_one_reused_step() -> None:
    status = run_of_items([], reused=3)
    assert reused_rows(status) == [("train", "3 of 3 items cached", StepState.CACHED)]
    assert reused_rows(run_of_items([OK], reused=3)) == []  # in the row of the job


def test_a_sheet_of_a_run_with_many_items_is_short() -> None:
    states = [OK] * 999 + [BAD]
    (sheet,) = status_sheets(run_of_items(states, on_item_failure="drop"), now=5.0)
    assert [row[:2] for row in sheet.rows] == [
        ("train ×1,000", "succeeded"),
        ("└ train", "999 of 1,000 items succeeded, 1 failed"),
    ]
    assert sheet.lines == (
        "1 of 1,000 items of train was dropped (train[999]: ValueError: no rows)",
    )


def test_the_cause_of_a_lost_job_is_its_message() -> None:
    failure = FAILURE.model_copy(update={"kind": "JobEnded", "message": "Host\nterminated"})
    assert cause_of(StepReport(name="x", state=BAD, failure=failure)) == "Host terminated"


def test_jobs_of_a_map_on_another_machine_are_one_note() -> None:
    status = run_of_items([OK] * 4)
    other = InstanceOffer(instance_type="c6i.large", price_usd_hour=0.2)
    jobs = [replace(view, ran_on=other) for view in status.jobs]
    assert machine_notes(replace(status, jobs=tuple(jobs))) == [
        "train ×4 ran on c6i.large at $0.20/h instead of m6i.large at $0.10/h"
    ]
    assert machine_notes(replace(status, jobs=(*jobs[:3], status.jobs[3]))) == [
        "3 of train ×4 ran on c6i.large at $0.20/h instead of m6i.large at $0.10/h"
    ]


def test_parts_count_as_their_planned_items_until_their_job_knows_them() -> None:
    assert text_of(run_of_parts([WAITING] * 3, None)) == "6 of 6 items waiting"
    known = run_of_parts([WAITING, OK, WAITING], [OK, OK, BAD])
    assert text_of(known) == "2 of 7 items succeeded, 1 failed, 4 waiting"


def test_the_items_of_parts_decide_whether_enough_succeeded() -> None:
    drop = {"on_item_failure": "drop", "min_success": 0.9}
    progress = run_of_parts([WAITING, OK], [OK] * 7 + [BAD], **drop).progress["train"]
    assert (progress.total, progress.required, progress.has_too_few) == (10, 9, False)
    progress = run_of_parts([WAITING, OK], [BAD] * 7, **drop).progress["train"]
    assert progress.missing == "train failed: 2 of 9 items succeeded, and at least 9 must"


def test_a_part_that_found_no_item_in_a_short_list_counts_as_none() -> None:
    status = run_of_parts([OK, OK], [BAD], on_item_failure="drop")
    assert text_of(status) == "1 of 1 item failed"
    assert status.progress["train"].has_too_few
    assert text_of(run_of_parts([OK, OK], None)) == "0 items"


def test_the_log_of_an_item_of_a_part_is_that_of_its_job() -> None:
    status = run_of_parts([OK, OK], [BAD], on_item_failure="drop", min_success=1.0)
    (failure,) = described_failures(status)
    assert failure.log == "train-1"


def test_a_part_belongs_to_its_map_also_once_its_items_are_known() -> None:
    status = run_of_parts([WAITING, OK], [OK])
    assert [item.report.name for item in status.progress["train"].items] == [
        "train{1/2}",
        "train[1]",
    ]
    assert set(status.map_of) == {"train{1/2}", "train{2/2}", "train[1]"}
