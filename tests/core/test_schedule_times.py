"""Times of schedules: cron expressions of EventBridge Scheduler, rates, and daylight saving."""

from __future__ import annotations

from datetime import datetime, timezone
from itertools import islice
from zoneinfo import ZoneInfo

import pytest

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.schedule_times import cron_times, rate_times, read_times

MONDAY = datetime(2026, 11, 30, 12, 0, tzinfo=timezone.utc).timestamp()


def first(expression: str, number: int = 3, zone: str = "UTC", after: float = MONDAY) -> list[str]:
    times = islice(cron_times(expression, zone).after(after), number)
    return [f"{datetime.fromtimestamp(t, ZoneInfo(zone)):%Y-%m-%d %H:%M}" for t in times]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 6 * * ? *", ["2026-12-01 06:00", "2026-12-02 06:00", "2026-12-03 06:00"]),
        ("0/30 12 * * ? *", ["2026-11-30 12:30", "2026-12-01 12:00", "2026-12-01 12:30"]),
        ("15 10 ? * MON-FRI *", ["2026-12-01 10:15", "2026-12-02 10:15", "2026-12-03 10:15"]),
        ("0 8 1,L * ? *", ["2026-12-01 08:00", "2026-12-31 08:00", "2027-01-01 08:00"]),
        ("0 8 ? * 6L *", ["2026-12-25 08:00", "2027-01-29 08:00", "2027-02-26 08:00"]),
        ("0 8 ? * TUE#2 *", ["2026-12-08 08:00", "2027-01-12 08:00", "2027-02-09 08:00"]),
        ("0 0 29 FEB ? *", ["2028-02-29 00:00", "2032-02-29 00:00", "2036-02-29 00:00"]),
        ("0 0 1 1 ? 2027-2028", ["2027-01-01 00:00", "2028-01-01 00:00"]),
        ("0 0 31 2 ? *", []),
    ],
)
def test_a_cron_expression_names_its_times(expression: str, expected: list[str]) -> None:
    assert first(expression) == expected


def test_times_are_those_of_the_time_zone() -> None:
    assert first("0 6 * * ? *", 1, "Asia/Tokyo") == ["2026-12-01 06:00"]
    (moment,) = islice(cron_times("0 6 * * ? *", "Asia/Tokyo").after(MONDAY), 1)
    assert datetime.fromtimestamp(moment, timezone.utc).hour == 21


def test_a_time_that_daylight_saving_skips_is_left_out_and_a_repeated_one_counts_once() -> None:
    zone = "Europe/Berlin"
    spring = datetime(2027, 3, 27, 12, tzinfo=ZoneInfo(zone)).timestamp()
    assert first("30 2 * * ? *", 1, zone, spring) == ["2027-03-29 02:30"]
    autumn = datetime(2027, 10, 30, 12, tzinfo=ZoneInfo(zone)).timestamp()
    assert first("30 2 * * ? *", 2, zone, autumn) == ["2027-10-31 02:30", "2027-11-01 02:30"]


def test_a_rate_starts_after_its_interval() -> None:
    times = rate_times("12 hours")
    assert times.expression == "rate(12 hours)"
    assert list(islice(times.after(100.0), 2)) == [43300.0, 86500.0]
    assert list(islice(times.after(50000.0, start=100.0), 2)) == [86500.0, 129700.0]
    assert rate_times("1 day").expression == "rate(1 days)"


def test_the_number_of_times_in_a_month_is_known() -> None:
    assert rate_times("1 day").count(MONDAY, 30) == 30
    assert cron_times("0 6 * * ? *").count(MONDAY, 30) == 30
    assert cron_times("0/15 * ? * MON-FRI *").count(MONDAY, 7) == 5 * 96
    assert cron_times("0 0 31 2 ? *").count(MONDAY, 30) == 0


@pytest.mark.parametrize("text", ["cron(0 6 * * ? *)", "rate(2 hours)"])
def test_an_expression_of_the_service_is_read_as_it_was_written(text: str) -> None:
    assert read_times(text, "UTC").expression == text


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("0 6 * * *", "six fields"),
        ("0 6 * * * *", "exactly one of"),
        ("0 6 ? * ? *", "exactly one of"),
        ("60 6 * * ? *", "field for minutes"),
        ("0 6 * FOO ? *", "field for month"),
        ("0 9-6 * * ? *", "invalid range"),
        ("0/0 6 * * ? *", "invalid step"),
        ("0 6 15W * ? *", "day of the month"),
    ],
)
def test_an_invalid_expression_is_an_error_with_its_reason(expression: str, why: str) -> None:
    with pytest.raises(SettingsError) as caught:
        cron_times(expression)
    assert why in caught.value.why


@pytest.mark.parametrize("rate", ["1", "0 days", "1 week", "1.5 hours", "-1 day"])
def test_an_invalid_rate_is_an_error(rate: str) -> None:
    with pytest.raises(SettingsError, match="Invalid rate"):
        rate_times(rate)


def test_an_unknown_time_zone_is_an_error() -> None:
    with pytest.raises(SettingsError, match="Unknown time zone 'Berlin'"):
        cron_times("0 6 * * ? *", "Berlin")
