"""The time of the schedule of a proof; `tests/cli/test_doctor_prove.py` starts its run."""

from __future__ import annotations

import pytest

from flowyml_aws.doctor.prove.scheduled import next_time, time_text
from flowyml_aws.doctor.prove.steps import scheduled
from flowyml_aws.submission.schedules import TIME_VARIABLE

MIDNIGHT = 1796169600.0  # 2026-12-02T00:00:00Z


@pytest.mark.parametrize(
    ("passed_s", "due_s"), [(0, 120), (59.9, 120), (60, 180), (86400 - 30, 86400 + 60)]
)
def test_a_schedule_has_one_time_that_is_one_to_two_minutes_away(
    passed_s: float, due_s: float
) -> None:
    times, due = next_time(MIDNIGHT + passed_s)
    assert due == MIDNIGHT + due_s
    assert list(times.after(MIDNIGHT + passed_s)) == [due]


def test_the_job_reports_the_time_of_its_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TIME_VARIABLE, time_text(MIDNIGHT))
    assert scheduled("proof") == "2026-12-02T00:00:00Z"
