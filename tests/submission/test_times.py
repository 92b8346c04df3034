from __future__ import annotations

import itertools
from typing import Any

import pytest

from flowyml_aws.runtime.usage import JobUsage
from flowyml_aws.submission.times import JobTimes, WaitKind, split_wait

QUEUED = JobTimes(queued_at=100, started_at=200)


def usage(**times: float) -> JobUsage:
    values: dict[str, Any] = {"series": (), "steps": {}, "phases": (), **times}
    return JobUsage(attempt=1, started_at=0, period_s=1, **values)


def parts(times: JobTimes, document: JobUsage | None = None, ready_at: float = 0) -> list[Any]:
    waits = split_wait(times, document, ready_at, started_at=205)
    for earlier, later in itertools.pairwise(waits):
        assert earlier.ended_at == later.started_at
    return [(wait.kind.value, wait.ended_at - wait.started_at) for wait in waits]


def test_a_wait_without_other_times_is_not_split() -> None:
    assert parts(QUEUED) == [("queue, with start", 100)]


def test_a_machine_that_started_for_the_job_ends_the_queue() -> None:
    document = usage(machine_started_at=130)
    assert parts(QUEUED, document) == [("queue", 30), ("start, with pull", 70)]


def test_the_pull_is_split_from_the_start() -> None:
    document = usage(machine_started_at=130, pull_started_at=150, pull_ended_at=190)
    assert parts(QUEUED, document) == [("queue", 30), ("start", 20), ("pull", 40), ("start", 10)]


def test_a_job_on_a_running_machine_waits_in_the_queue_until_the_pull() -> None:
    document = usage(machine_started_at=20, pull_started_at=150, pull_ended_at=151)
    assert parts(QUEUED, document) == [("queue", 50), ("pull", 1), ("start", 49)]


def test_the_time_before_the_parents_end_is_no_wait() -> None:
    assert parts(QUEUED, ready_at=180) == [("queue, with start", 20)]


def test_a_service_that_reports_all_times_needs_no_document() -> None:
    times = JobTimes(
        queued_at=100, launched_at=110, pull_started_at=150, pull_ended_at=170, started_at=200
    )
    assert parts(times) == [("queue", 10), ("start", 40), ("pull", 20), ("start", 30)]


def test_a_process_of_this_machine_waits_for_its_turn() -> None:
    assert parts(JobTimes(started_at=104), ready_at=100) == [("queue, with start", 4)]


def test_the_runner_ends_the_wait_if_the_start_of_the_container_is_unknown() -> None:
    assert parts(JobTimes(queued_at=100)) == [("queue, with start", 105)]


@pytest.mark.parametrize("pull_started_at", [90.0, 300.0])
def test_clocks_that_differ_make_no_negative_time(pull_started_at: float) -> None:
    document = usage(pull_started_at=pull_started_at, pull_ended_at=pull_started_at + 1)
    assert sum(seconds for _, seconds in parts(QUEUED, document)) == 100


def test_each_part_has_a_name_for_people() -> None:
    assert [kind.value for kind in WaitKind] == [
        "queue",
        "queue, with start",
        "start",
        "start, with pull",
        "pull",
    ]
