"""The document that recipients of notices get."""

from __future__ import annotations

import json
from dataclasses import replace

from flowyml_aws.notices.notice import make_notice, make_test_notice
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.losses import LostAttempts
from flowyml_aws.submission.moves import Move
from flowyml_aws.submission.status import JobView, RunStatus
from tests.support.plans import a_job

ENDED = RunStatus(
    run_id="digits-20261122-150531-3f9a1c",
    pipeline="digits",
    backend="batch",
    created_at=1000.0,
    ended_at=4600.0,
    jobs=(JobView(a_job("prepare"), JobState.SUCCEEDED, 1),),
    counted_usd=1.25,
)


def a_move(cause: Cause, number: int) -> Move:
    return Move(
        job="train", number=number, cause=cause, reason="r", machine="m", losses=2, moved_at=0.0
    )


def test_a_notice_has_the_state_the_cost_and_the_links() -> None:
    notice = make_notice(ENDED, "s3://bucket/store/runs/r/", "https://console/report")
    assert json.loads(notice.to_json()) == {
        "version": 1,
        "kind": "run-ended",
        "text": "Run digits-20261122-150531-3f9a1c of pipeline 'digits': succeeded after 60 min; "
        "$1.25",
        "run_id": "digits-20261122-150531-3f9a1c",
        "pipeline": "digits",
        "backend": "batch",
        "state": "succeeded",
        "created_at": 1000.0,
        "ended_at": 4600.0,
        "counted_usd": 1.25,
        "lost_attempts": 0,
        "lost_usd": 0.0,
        "capacity_moves": 0,
        "failed_jobs": [],
        "dropped_items": 0,
        "report": "https://console/report",
        "location": "s3://bucket/store/runs/r/",
        "command": "flowyml-aws report digits-20261122-150531-3f9a1c",
    }


def test_failed_jobs_are_named_without_their_reasons() -> None:
    jobs = [
        JobView(a_job(f"job{n}"), JobState.FAILED, 1, reason="ValueError: s3cret")
        for n in range(12)
    ]
    notice = make_notice(replace(ENDED, jobs=tuple(jobs)), "s3://b/")
    assert notice.state == "failed"
    assert notice.failed_jobs == tuple(f"job{n}" for n in range(10))
    assert "12 jobs failed" in notice.text
    assert b"s3cret" not in notice.to_json()


def test_repeated_losses_of_capacity_are_counted() -> None:
    status = replace(
        ENDED,
        lost={"train": LostAttempts(count=3, cost_usd=0.4)},
        moves=(a_move(Cause.CAPACITY, 1), a_move(Cause.OUT_OF_MEMORY, 2)),
    )
    notice = make_notice(status, "s3://b/")
    assert (notice.lost_attempts, notice.lost_usd, notice.capacity_moves) == (3, 0.4, 1)
    assert "3 attempts lost; 1 move to other capacity" in notice.text


def test_a_test_notice_says_so() -> None:
    notice = make_test_notice("ana on laptop")
    assert notice.kind == "test"
    assert "Test notice" in notice.text and "ana on laptop" in notice.text
