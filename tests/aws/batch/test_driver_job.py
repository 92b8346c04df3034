from __future__ import annotations

import pytest

from flowyml_aws.aws.batch.driver_job import driver_timeout_s

HOUR_S, DAY_S = 3600, 24 * 3600


@pytest.mark.parametrize(
    ("jobs_s", "expected_s"),
    [(0, DAY_S), (2 * HOUR_S, DAY_S + 2 * HOUR_S), (20 * DAY_S, 14 * DAY_S), (None, 14 * DAY_S)],
)
def test_a_driver_ends_a_day_after_its_jobs_and_within_two_weeks(
    jobs_s: int | None, expected_s: int
) -> None:
    assert driver_timeout_s(jobs_s) == expected_s
